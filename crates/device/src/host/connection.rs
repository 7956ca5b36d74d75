//! The stream to a device: requests and answers by their numbers.

use core::time::Duration;
use std::{
    borrow::ToOwned as _,
    collections::{VecDeque, hash_map::RandomState},
    hash::BuildHasher as _,
    io,
    vec::Vec,
};

use alloy_primitives::Signature;
use quorate_core::{Address, B256};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use super::error::DeviceError;
use crate::frame::{FrameBuffer, FromDevice, MAX_FRAME, Numbered, ToDevice, encode};

/// How long a device may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the answer to a frame.
    pub answer: Duration,
    /// For the person to look at the screen and press the button.
    pub button: Duration,
}

impl Default for Deadlines {
    /// Ten seconds for an answer, five minutes for the button.
    fn default() -> Self {
        Self { answer: Duration::from_secs(10), button: Duration::from_secs(300) }
    }
}

/// Everything of a connection that outlives a request, also one whose future was dropped half-way.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    pub(super) deadlines: Deadlines,
    /// The number of the last request.
    number: u32,
    frame: FrameBuffer,
    /// What was read and not looked at.
    unread: VecDeque<u8>,
}

/// What a device says to the request that is asked for.
pub(super) enum Answer {
    Address(Address),
    Ready,
    Waiting(B256),
    Signature(Signature),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        // Of another process, which used the device before, answers may still come.
        let number = RandomState::new().hash_one("the first request") as u32;
        Self {
            stream,
            deadlines: Deadlines::default(),
            number,
            frame: FrameBuffer::new(),
            unread: VecDeque::new(),
        }
    }

    /// The number of a new request.
    pub(super) const fn next_number(&mut self) -> u32 {
        self.number = match self.number.wrapping_add(1) {
            // The device's own.
            0 => 1,
            number => number,
        };
        self.number
    }

    /// Asks for the address.
    pub(super) async fn address(&mut self) -> Result<Address, DeviceError> {
        let request = self.next_number();
        self.begin().await?;
        self.send_message(request, ToDevice::Address).await?;
        match self.answer_in(self.deadlines.answer, "asked for its address").await? {
            Answer::Address(address) => Ok(address),
            _ => Err(DeviceError::Unexpected),
        }
    }

    /// Sends the frames of a request. Gives what the device shows last, and waits for its button over.
    pub(super) async fn review(&mut self, frames: &[Vec<u8>]) -> Result<B256, DeviceError> {
        self.begin().await?;
        let (last, frames) = frames.split_last().ok_or(DeviceError::Unexpected)?;
        for frame in frames {
            self.send(frame).await?;
            match self.answer_in(self.deadlines.answer, "shown a part of the request").await? {
                Answer::Ready => {}
                _ => return Err(DeviceError::Unexpected),
            }
        }
        self.send(last).await?;
        match self.answer_in(self.deadlines.answer, "shown the end of the request").await? {
            Answer::Waiting(hash) => Ok(hash),
            _ => Err(DeviceError::Unexpected),
        }
    }

    /// Waits for the button.
    pub(super) async fn signature(&mut self) -> Result<Signature, DeviceError> {
        match self.answer_in(self.deadlines.button, "waiting for its button").await? {
            Answer::Signature(signature) => Ok(signature),
            _ => Err(DeviceError::Unexpected),
        }
    }

    /// Has the device give up the last request.
    pub(super) async fn cancel(&mut self) -> Result<(), DeviceError> {
        self.begin().await?;
        self.send_message(self.number, ToDevice::Cancel).await
    }

    /// Ends the frame that a request left half-way, if there is one.
    async fn begin(&mut self) -> Result<(), DeviceError> {
        self.send(&[0]).await
    }

    async fn send_message(&mut self, request: u32, message: ToDevice<'_>) -> Result<(), DeviceError> {
        let mut buffer = [0; MAX_FRAME];
        let frame = encode(&Numbered { request, message }, &mut buffer);
        let frame = frame.map_err(|source| DeviceError::TooLong { what: "a message", source })?;
        self.send(frame).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), DeviceError> {
        let Self { stream, deadlines, unread, .. } = self;
        let sent = timeout(deadlines.answer, send(stream, bytes, unread)).await;
        Ok(sent.map_err(|_| DeviceError::Deadline { doing: "sent a part of the request" })??)
    }

    async fn answer_in(&mut self, deadline: Duration, doing: &'static str) -> Result<Answer, DeviceError> {
        timeout(deadline, self.answer()).await.map_err(|_| DeviceError::Deadline { doing })?
    }

    /// The next answer to the last request; what answers others, or cannot be read, is skipped.
    async fn answer(&mut self) -> Result<Answer, DeviceError> {
        loop {
            let Some(byte) = self.unread.pop_front() else {
                let mut bytes = [0; 256];
                let read = self.stream.read(&mut bytes).await;
                self.unread.extend(received(&bytes, read)?);
                continue;
            };
            let Some(Ok(())) = self.frame.push(byte) else { continue };
            match self.frame.decode::<Numbered<FromDevice<'_>>>() {
                Ok(Numbered { request, message }) if request == self.number => return read(message),
                _ => {}
            }
        }
    }
}

/// Sends bytes, and takes what comes meanwhile: a device whose answers nobody takes may not take anything either.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    mut bytes: &[u8],
    unread: &mut VecDeque<u8>,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    while !bytes.is_empty() {
        let mut buffer = [0; 256];
        tokio::select! {
            written = writer.write(bytes) => match written? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = bytes.get(written..).unwrap_or_default(),
            },
            read = reader.read(&mut buffer) => unread.extend(received(&buffer, read)?),
        }
    }
    writer.flush().await
}

/// The bytes that were read; none are the stream's end.
fn received(buffer: &[u8], read: io::Result<usize>) -> io::Result<&[u8]> {
    match read? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => Ok(buffer.get(..read).unwrap_or_default()),
    }
}

fn read(message: FromDevice<'_>) -> Result<Answer, DeviceError> {
    Ok(match message {
        FromDevice::Address(address) => Answer::Address(address.into()),
        FromDevice::Ready => Answer::Ready,
        FromDevice::Waiting(hash) => Answer::Waiting(hash.into()),
        FromDevice::Signature(bytes) => {
            Answer::Signature(Signature::from_raw(bytes).map_err(|_| DeviceError::Unexpected)?)
        }
        FromDevice::Refused(reason) => return Err(DeviceError::Refused { reason: reason.to_owned() }),
    })
}
