//! A few lines of Python that follow the public formats agree with the server about its log.

use std::process::Command;

use super::offline::Sample;

#[tokio::test]
async fn an_independent_verifier_agrees() {
    let sample = Sample::new().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audit_log.py");
    let checkpoint = sample.data.with_extension("checkpoint");
    std::fs::write(&checkpoint, &sample.checkpoint).unwrap();
    let run = || {
        let mut command = Command::new("python3");
        command.arg(script).arg(sample.data.join("audit")).arg(&sample.key).arg(&checkpoint);
        command.output().unwrap()
    };
    let output = run();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("checkpoints agree"), "{said}");
    let file = std::fs::read_dir(sample.data.join("audit")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.extension().is_some_and(|kind| kind == "jsonl")).min().unwrap();
    let altered = std::fs::read_to_string(&file).unwrap().replacen("ok", "OK", 1);
    std::fs::write(&file, altered).unwrap();
    assert!(!run().status.success());
}
