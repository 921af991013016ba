//! A TCP proxy between a replica and etcd, which a test can cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What the proxy does with what it receives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It passes everything on.
    Open,
    /// It keeps everything, as a network that loses all packets: nothing arrives, and nobody is told.
    Silent,
    /// It ends all connections.
    Broken,
}

/// The proxy. It ends with the test.
pub struct Proxy {
    port: u16,
    link: Arc<SharedLink>,
}

struct SharedLink {
    present: Mutex<Link>,
    changed: Condvar,
    /// The connections of both sides.
    connections: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy to this port of the loopback address.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let link = Arc::new(SharedLink {
            present: Mutex::new(Link::Open),
            changed: Condvar::new(),
            connections: Mutex::default(),
        });
        let of_connections = link.clone();
        thread::spawn(move || {
            for arrived in listener.incoming().flatten() {
                let link = of_connections.clone();
                thread::spawn(move || link.carry(arrived, target));
            }
        });
        Self { port, link }
    }

    #[cfg(feature = "etcd")]
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, link: Link) {
        *self.link.present.lock().unwrap() = link;
        self.link.changed.notify_all();
        if link == Link::Broken {
            for connection in self.link.connections.lock().unwrap().drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Link::Broken);
    }
}

impl SharedLink {
    /// Waits until something can pass. Returns whether it can.
    fn passes(&self) -> bool {
        let present = self.present.lock().unwrap();
        let present = self.changed.wait_while(present, |link| *link == Link::Silent).unwrap();
        *present == Link::Open
    }

    /// Carries one connection to its end.
    fn carry(self: Arc<Self>, arrived: TcpStream, target: u16) {
        if !self.passes() {
            return;
        }
        let Ok(onward) = TcpStream::connect(("127.0.0.1", target)) else { return };
        for connection in [&arrived, &onward] {
            let _ = connection.set_nodelay(true);
            self.connections.lock().unwrap().push(connection.try_clone().expect("a connection"));
        }
        let back = [onward.try_clone(), arrived.try_clone()].map(|end| end.expect("a connection"));
        let of_back = self.clone();
        thread::spawn(move || {
            let [from, to] = back;
            of_back.copy(from, to);
        });
        self.copy(arrived, onward);
    }

    /// Carries one direction of a connection.
    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if !self.passes() || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        for end in [from, to] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}
