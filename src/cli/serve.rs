//! `strongroom serve` runs the service.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::failure::Failure;
use super::opening::Opening;
use super::output;
use crate::config::{Config, LogFormat, LogLevel, MasterKeySource, Settings, parse_duration, parse_listen};
use crate::server::{self, Ready};
use crate::{process, telemetry};

/// How long work on other threads may take to end once the server has stopped.
const LAST: Duration = Duration::from_secs(1);

/// The arguments of `strongroom serve`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom serve --data-dir /var/lib/strongroom --listen 127.0.0.1:50051

The configuration file is TOML with the names of the flags, such as:
  data_dir = \"/var/lib/strongroom\"
  listen = \"127.0.0.1:50051\"
Flags win over the file.

The first start creates two files in the data folder, which only you can read: master.key, without \
which the data cannot be opened, and root.key, the first API key, which has every right.

The master key comes from the first of these places that is set: a flag, STRONGROOM_MASTER_KEY_FILE, \
the configuration file, the systemd credential, master.key in the data folder. The first line is the \
key in use. Further lines are earlier keys, which open the data that they sealed. \
'strongroom master-key generate' generates a key.")]
pub(super) struct Serve {
    #[command(flatten)]
    opening: Opening,

    /// The address to listen on; port 0 means any free port [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen)]
    listen: Option<SocketAddr>,

    /// Serve metrics for Prometheus, /livez and /readyz on this address, over HTTP without a credential
    ///
    /// They tell numbers only, and no names. Give a loopback address such as 127.0.0.1:9464, or one that only your
    /// monitoring can reach.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen)]
    metrics_listen: Option<SocketAddr>,

    /// Send traces of requests over OTLP/gRPC to this OpenTelemetry collector, such as http://127.0.0.1:4317 [env:
    /// STRONGROOM_OTLP_ENDPOINT]
    ///
    /// Traces have no values, no credentials and no names. A collector that is away or slow does not delay any request.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,

    /// The part of the requests to trace whose callers send no trace context, from 0 to 1 [default: 1]
    #[arg(long, value_name = "RATIO", allow_hyphen_values = true)]
    otlp_sample_ratio: Option<f64>,

    /// The service's certificate chain (PEM), which turns TLS on
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The private key (PEM) of the service's certificate
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// The certificates (PEM) of the authorities whose client certificates are credentials
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,

    /// Listen without TLS on an address that others on the network can reach
    #[arg(long)]
    insecure_plaintext: bool,

    /// Do not serve reflection, which lists the services and their messages to anyone
    #[arg(long)]
    no_reflection: bool,

    /// The age at which a client is told to open a new connection, such as 1h or 30m [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    max_connection_age: Option<Duration>,

    /// The time that the requests in flight on the old connection have then, before it is closed [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    max_connection_age_grace: Option<Duration>,

    /// Serve a store that something other than the service altered
    ///
    /// This counts for one start. Use it if you know why the store was altered.
    #[arg(long)]
    accept_altered_store: bool,

    /// Begin a new audit log if the one in the data folder is broken
    ///
    /// This counts for one start. The broken log is kept beside the new one, and the first record of the new log says what
    /// was found.
    #[arg(long)]
    begin_new_audit_log: bool,

    /// The form of the log on standard error [default: short lines on a terminal, JSON elsewhere]
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,

    /// The lowest level that is logged; audit records are always logged [default: info]
    #[arg(long, value_enum)]
    log_level: Option<LogLevel>,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let usage = |error: crate::config::ConfigError| Failure::usage(error.to_string());
        let file = self.opening.config_file().map_err(usage)?;
        let settings = self.settings().or(Settings::from_environment()).or(file);
        let config = Config::try_from(settings).map_err(usage)?;
        telemetry::start(config.log_format, config.log_level, config.audit.stderr)
            .map_err(|error| Failure::local(format!("the log cannot start: {error}")))?;
        // This must happen before a key is in memory.
        process::guard_memory();

        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if available_parallelism().is_ok_and(|processors| processors.get() == 1) {
            builder.worker_threads(2); // a disk can block one of them
        }
        let runtime = builder.enable_all().build();
        let runtime =
            runtime.map_err(|error| Failure::local(format!("the runtime cannot start: {error}")))?;
        let data_dir = config.data_dir.clone();
        let failed = |error| Failure::local(format!("a thread cannot start: {error}"));
        wake_regularly(runtime.handle().clone()).map_err(failed)?;
        let ended = runtime.block_on(async {
            let unheard = |error| Failure::local(format!("signals cannot be received: {error}"));
            let (shutdown, reload) = (signals().map_err(unheard)?, hangups().map_err(unheard)?);
            ignore_user_signals().map_err(unheard)?;
            let ended = server::run(config, shutdown, reload, |ready| announce(ready, &data_dir)).await;
            telemetry::flush().await;
            ended.map_err(|error| Failure::local(error.to_string()))
        });
        // What still opens records at a start that is given up ends soon, and wipes its keys. A restore that still checks its backup
        // is given up; it has replaced nothing.
        runtime.shutdown_timeout(LAST);
        ended
    }

    fn settings(self) -> Settings {
        Settings {
            listen: self.listen,
            metrics_listen: self.metrics_listen,
            otlp_endpoint: self.otlp_endpoint,
            otlp_sample_ratio: self.otlp_sample_ratio,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            tls_client_ca: self.tls_client_ca,
            issuers: None, // in the configuration file only
            insecure_plaintext: self.insecure_plaintext.then_some(true),
            reflection: self.no_reflection.then_some(false),
            max_connection_age: self.max_connection_age,
            max_connection_age_grace: self.max_connection_age_grace,
            limits: None,  // in the configuration file only
            audit: None,   // there too
            history: None, // and there
            begin_new_audit_log: self.begin_new_audit_log.then_some(true),
            accept_altered_store: self.accept_altered_store.then_some(true),
            log_format: self.log_format,
            log_level: self.log_level,
            ..self.opening.settings()
        }
    }
}

/// How often a thread that serves requests is woken.
const WAKE: Duration = Duration::from_millis(500);

/// Wakes one of the threads that serve requests again and again. One of them waits for sockets and timers on behalf of all. If that
/// one is blocked by a disk right after that, the others would sleep on.
fn wake_regularly(runtime: Handle) -> std::io::Result<()> {
    let thread = thread::Builder::new().name("wake".into());
    let wake = move || {
        loop {
            thread::sleep(WAKE);
            runtime.spawn(async {});
        }
    };
    thread.spawn(wake).map(drop)
}

/// Ends with the first SIGTERM or SIGINT. A second one then ends the process immediately.
fn signals() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(1);
        });
    })
}

/// Keeps SIGUSR1 and SIGUSR2 from ending the process, as they do by default.
fn ignore_user_signals() -> std::io::Result<()> {
    for kind in [SignalKind::user_defined1(), SignalKind::user_defined2()] {
        let mut user = signal(kind)?;
        tokio::spawn(async move { while user.recv().await.is_some() {} });
    }
    Ok(())
}

/// A message for each SIGHUP. Those that come while one waits are one with it.
fn hangups() -> std::io::Result<mpsc::Receiver<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (hung_up, hangups) = mpsc::channel(1);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let _ = hung_up.try_send(()); // full: a message waits
        }
    });
    Ok(hangups)
}

/// The path from the root, which works in any folder; as it is where there is no current folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The path from the root, for a shell.
fn shown(path: &Path) -> String {
    let path = absolute(path).display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,@:".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// Writes to standard output that the service is ready, and what to do next.
fn announce(ready: &Ready, data_dir: &Path) {
    let scheme = if ready.tls { "https" } else { "http" };
    let address = ready.address;
    let root_key = ready.root_key.as_deref().map(shown);
    let key_file = root_key.as_deref().unwrap_or("FILE_OF_AN_API_KEY");
    // The name that this process was called by, in a form that works in any folder.
    let program = std::env::args_os().next().map(|program| program.to_string_lossy().into_owned());
    let program = program.unwrap_or_else(|| "strongroom".to_owned());
    let program = if program.contains('/') { shown(Path::new(&program)) } else { program };
    let mut text = format!("strongroom is ready on {scheme}://{address}\n");
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}"); // writing to a String cannot fail
    };
    if ready.first_start {
        line(format!(
            "\nThis is the first start. It created these files in {}, which only you can read:",
            absolute(data_dir).display()
        ));
        if let MasterKeySource::DataDir(file) = &ready.master_key {
            line(format!(
                "  {}  opens the store. Keep a copy elsewhere: without this key the data is lost.",
                absolute(file).display()
            ));
        }
        if let Some(root_key) = &root_key {
            line(format!("  {root_key}  is the first API key, which has every right."));
        }
        if !matches!(ready.master_key, MasterKeySource::DataDir(_)) {
            line(format!(
                "The key from {} opens the store: without this key the data is lost.",
                ready.master_key
            ));
        }
    }
    line("\nNext, in another terminal:".to_owned());
    line(format!("  export STRONGROOM_SERVER={scheme}://{address} STRONGROOM_API_KEY_FILE={key_file}"));
    line(format!("  {program} create my_first_secret    # asks for the value"));
    line(format!("  {program} get my_first_secret"));
    if !ready.tls {
        line(format!("  grpcurl -plaintext {address} list"));
    }
    line("\nStop with Ctrl-C.".to_owned());
    // The service runs on if nobody reads this.
    let _ = output::write(text.as_bytes());
}
