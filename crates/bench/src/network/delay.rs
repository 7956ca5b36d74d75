//! A proxy that hands on whatever it is given some time later, in each direction.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A link to `gateway` that takes `delay` each way. It has its own threads, whose sleep is exact to a fraction of a
/// millisecond, and works until the program ends.
pub(super) fn delayed(gateway: SocketAddr, delay: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        while let Ok((inside, _)) = listener.accept() {
            if let Err(error) = link(&inside, gateway, delay) {
                eprintln!("the delayed link to {gateway} cannot be opened: {error}");
            }
        }
    });
    Ok(address)
}

fn link(inside: &TcpStream, gateway: SocketAddr, delay: Duration) -> io::Result<()> {
    let outside = TcpStream::connect(gateway)?;
    for stream in [inside, &outside] {
        stream.set_nodelay(true)?;
    }
    carry(inside.try_clone()?, outside.try_clone()?, delay);
    carry(outside, inside.try_clone()?, delay);
    Ok(())
}

/// Carries bytes in one direction, until either end is gone.
fn carry(from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = channel();
    thread::spawn(move || take_in(from, &sender, delay));
    thread::spawn(move || hand_on(to, &receiver));
}

/// Some bytes, and when they arrive.
type Arriving = (Instant, Vec<u8>);

fn take_in(mut from: TcpStream, sender: &Sender<Arriving>, delay: Duration) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
            break;
        }
    }
    // The other side would wait for room for ever.
    let _ = from.shutdown(Shutdown::Read);
}

fn hand_on(mut to: TcpStream, receiver: &Receiver<Arriving>) {
    for (at, bytes) in receiver {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_later_in_each_direction_and_so_does_the_end() {
        const DELAY: Duration = Duration::from_millis(100);
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = delayed(echo.local_addr().unwrap(), DELAY).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            io::copy(&mut stream.try_clone().unwrap(), &mut stream).unwrap();
        });
        let mut stream = TcpStream::connect(address).unwrap();
        let began = Instant::now();
        for byte in 0..10 {
            stream.write_all(&[byte]).unwrap();
            thread::sleep(DELAY / 10);
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut first = [0xff];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(first, [0]);
        assert!(began.elapsed() >= DELAY * 2, "{:?}", began.elapsed());
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, (1..10).collect::<Vec<_>>());
        assert!(began.elapsed() >= DELAY * 3 - DELAY / 10, "{:?}", began.elapsed());
    }
}
