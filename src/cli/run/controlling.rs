//! Which variables decide what a program executes, loads or trusts.
//!
//! A person who may write a secret must not choose what others run. So `run` sets such a variable only where `--env` names it. The
//! families are wide on purpose: a name that is refused without need costs one `--env`.

/// The beginnings of their names: of interpreters, loaders, tools and of this program.
const PREFIXES: [&str; 70] = [
    "ANSIBLE_",
    "AWS_CONFIG",
    "BASH",
    "BUN_",
    "BUNDLE_",
    "CARGO",
    "CLASSPATH",
    "COMPLUS_",
    "CORECLR_",
    "COR_",
    "CURL_",
    "DBUS_",
    "DENO_",
    "DOCKER_",
    "DOTNET_",
    "DYLD_",
    "ELECTRON_",
    "EMACS",
    "ERL_",
    "GCONV_",
    "GDK_",
    "GEM_",
    "GIO_",
    "GIT_",
    "GLIBC_",
    "GNUPG",
    "GPG_",
    "GST_",
    "GTK_",
    "GUILE_",
    "HELM_",
    "HG",
    "JAVA_",
    "JDK_",
    "JULIA_",
    "KRB5",
    "KUBE",
    "LC_",
    "LD_",
    "LESS",
    "LIBGL_",
    "LISTEN_",
    "LUA_",
    "MAKE",
    "MALLOC_",
    "NODE_",
    "NPM_",
    "OPENSSL_",
    "PERL",
    "PG",
    "PHP",
    "PIP_",
    "PYTHON",
    "QML",
    "QT_",
    "R_",
    "RUBY",
    "RUST",
    "SSH_",
    "SSL_",
    "STRONGROOM_",
    "SUDO_",
    "SVN_",
    "SYSTEMD_",
    "TERM",
    "TF_",
    "UV_",
    "VIM",
    "XDG_",
    "_JAVA_",
];

/// The ends of their names.
const SUFFIXES: [&str; 29] = [
    "ASKPASS",
    "BROWSER",
    "CA_BUNDLE",
    "CFG",
    "CONF",
    "CONFIG",
    "CONFIG_DIR",
    "CONFIG_FILE",
    "EDITOR",
    "FLAGS",
    "HOME",
    "INIT",
    "OPT",
    "OPTIONS",
    "OPTS",
    "PAGER",
    "PATH",
    "PLUGINS",
    "PRELOAD",
    "PROFILE",
    "PROXY",
    "RC",
    "SHELL",
    "STARTUP",
    "WRAPPER",
    "_COMMAND",
    "_EXEC",
    "_HOOK",
    "_RSH",
];

/// Names without a family.
const NAMES: [&str; 38] = [
    "AR",
    "AS",
    "BASHOPTS",
    "CC",
    "CPP",
    "CXX",
    "DISPLAY",
    "ENV",
    "GCC_EXEC_PREFIX",
    "GOFLAGS",
    "GOPROXY",
    "GOROOT",
    "GOTOOLCHAIN",
    "GZIP",
    "HOSTALIASES",
    "IFS",
    "LANG",
    "LANGUAGE",
    "LD",
    "LOCALDOMAIN",
    "LOGNAME",
    "MAIL",
    "NOTIFY_SOCKET",
    "ODBCINI",
    "OLDPWD",
    "POSIXLY_CORRECT",
    "PROMPT",
    "PS0",
    "PS1",
    "PS2",
    "PS4",
    "PWD",
    "SHELLOPTS",
    "TMP",
    "TMPDIR",
    "TNS_ADMIN",
    "USER",
    "VISUAL",
];

/// Whether the variable decides what programs execute, load or trust. Programs read some of them in either case.
pub(super) fn controls(variable: &str) -> bool {
    let name = variable.to_ascii_uppercase();
    PREFIXES.iter().any(|beginning| name.starts_with(beginning))
        || SUFFIXES.iter().any(|end| name.ends_with(end))
        || NAMES.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_decide_what_is_executed_are_known() {
        let known = "GIT_SSH_COMMAND GIT_EXEC_PATH GIT_CONFIG_COUNT GIT_EDITOR GIT_ASKPASS PYTHONWARNINGS PYTHONPATH PYTHONHOME \
            PYTHONSTARTUP PYTHONBREAKPOINT BROWSER PERL5LIB PERL5OPT PERL5DB PERLIO_DEBUG RUBYOPT RUBYLIB NODE_OPTIONS NODE_PATH \
            NODE_EXTRA_CA_CERTS NPM_CONFIG_SCRIPT_SHELL npm_config_registry LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT \
            DYLD_INSERT_LIBRARIES JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS JAVA_HOME CLASSPATH MAVEN_OPTS GRADLE_OPTS \
            OPENSSL_CONF OPENSSL_MODULES SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE HTTP_PROXY HTTPS_PROXY https_proxy ALL_PROXY \
            no_proxy BASH_ENV BASH_FUNC_x ENV IFS PATH CDPATH HOME SHELL SHELLOPTS PS4 PROMPT_COMMAND EDITOR VISUAL PAGER MANPAGER \
            LESSOPEN GCONV_PATH GLIBC_TUNABLES NLSPATH LOCPATH TERMINFO SSH_ASKPASS SUDO_ASKPASS ZDOTDIR_INIT PHPRC PHP_INI_SCAN_DIR \
            LUA_PATH LUA_INIT KUBECONFIG DOCKER_HOST AWS_CONFIG_FILE PGSERVICEFILE PSQLRC MAKEFLAGS CC CFLAGS RUSTFLAGS \
            RUSTC_WRAPPER CARGO_HOME GOFLAGS DOTNET_STARTUP_HOOKS CORECLR_PROFILER ERL_FLAGS TAR_OPTIONS GREP_OPTIONS INPUTRC VIMINIT \
            EXINIT XDG_CONFIG_HOME TMPDIR HOSTALIASES RES_OPTIONS STRONGROOM_SERVER Path";
        for name in known.split_whitespace() {
            assert!(controls(name), "{name}");
        }
    }

    #[test]
    fn names_that_secrets_usually_have_are_free() {
        let free = "API_KEY DB_PASSWORD DATABASE_URL STRIPE_KEY GITHUB_TOKEN TOKEN SMTP_USER SECRET_KEY_BASE AWS_SECRET_ACCESS_KEY \
            AWS_ACCESS_KEY_ID db_host PRIVATE_KEY JWT_SECRET SENTRY_DSN REDIS_URL S3_BUCKET PORT";
        for name in free.split_whitespace() {
            assert!(!controls(name), "{name}");
        }
    }
}
