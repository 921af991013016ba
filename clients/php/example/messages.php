<?php
// Packs the request of a secret into bytes and unpacks it, with the generated messages alone.
declare(strict_types=1);

use Strongroom\V1\CreateSecretRequest;
use Strongroom\V1\SecretValue;

// What Composer's autoloader does in a project.
spl_autoload_register(static function (string $class): void {
    foreach ([__DIR__ . '/../gen', '/usr/share/php', ...explode(PATH_SEPARATOR, get_include_path())] as $folder) {
        $file = $folder . '/' . str_replace('\\', '/', $class) . '.php';
        if (is_file($file)) {
            require $file;
            return;
        }
    }
});

$request = new CreateSecretRequest(['name' => 'php_example', 'value' => new SecretValue(['text' => 'correct horse'])]);
$received = new CreateSecretRequest();
$received->mergeFromString($request->serializeToString());
if ($received->getName() !== 'php_example' || $received->getValue()->getText() !== 'correct horse') {
    fwrite(STDERR, "another message came back\n");
    exit(1);
}
echo "packed and unpacked a request of {$request->byteSize()} bytes\n";
