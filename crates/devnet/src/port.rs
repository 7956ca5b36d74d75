use std::io;
use std::net::{Ipv4Addr, TcpListener};

use url::Url;

use crate::process::ProcessError;

/// Chooses local TCP ports for processes that are about to start.
///
/// The listeners stay open until the choice is finished, so that no port is chosen twice.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    held: Vec<TcpListener>,
}

impl Ports {
    /// The wanted port if it is free, or some free port if none is wanted.
    pub(crate) fn choose(&mut self, process: &str, wanted: Option<u16>) -> Result<u16, ProcessError> {
        let port = wanted.unwrap_or(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| {
            if source.kind() == io::ErrorKind::AddrInUse {
                ProcessError::PortTaken { process: process.to_owned(), port }
            } else {
                ProcessError::Port { process: process.to_owned(), port, source }
            }
        })?;
        let chosen = listener.local_addr().map_err(|source| ProcessError::Port {
            process: process.to_owned(),
            port,
            source,
        })?;
        self.held.push(listener);
        Ok(chosen.port())
    }
}

/// The address of an HTTP server on a port of this machine.
pub(crate) fn local_url(port: u16) -> Url {
    // A number in a fixed text is always a URL.
    Url::parse(&format!("http://{}:{port}", Ipv4Addr::LOCALHOST)).expect("a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_port_that_is_taken() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();

        let error = Ports::default().choose("the chain", Some(port)).unwrap_err();

        assert_eq!(
            error.to_string(),
            format!("port {port}, wanted for the chain, is taken; choose another, or end what listens there")
        );
    }

    #[test]
    fn chooses_no_port_twice() {
        let mut ports = Ports::default();
        let first = ports.choose("one", None).unwrap();
        assert_ne!(first, ports.choose("another", None).unwrap());
        assert!(matches!(ports.choose("a third", Some(first)), Err(ProcessError::PortTaken { .. })));
    }
}
