use quorate_device::{
    FrameBuffer, FrameError, FromDevice, MAX_FRAME, Numbered, ToDevice, encode, encode_from_device,
};

/// Frames of a host and a device that are read are written and read again as the same.
pub fn device_frames(bytes: &[u8]) -> bool {
    let mut buffer = FrameBuffer::new();
    let mut is_taken = false;
    for byte in bytes {
        match buffer.push(*byte) {
            None => {}
            Some(Err(error)) => assert!(error != FrameError::TooLong || bytes.len() > MAX_FRAME),
            Some(Ok(())) => is_taken |= is_same_again(&buffer),
        }
    }
    is_taken
}

fn is_same_again(buffer: &FrameBuffer) -> bool {
    let to_device = buffer.decode::<Numbered<ToDevice<'_>>>();
    assert_eq!(buffer.decode_to_device(), to_device);
    if let Ok(message) = &to_device {
        let mut written = [0; MAX_FRAME];
        let again = read(encode(message, &mut written).expect("what came in a frame fits into one"));
        assert_eq!(again.decode().as_ref(), Ok(message));
    }
    let from_device = buffer.decode::<Numbered<FromDevice<'_>>>();
    if let Ok(message) = &from_device {
        let mut written = [0; MAX_FRAME];
        let frame = encode(message, &mut written).expect("what came in a frame fits into one");
        assert_eq!(read(frame).decode().as_ref(), Ok(message));
        assert_eq!(encode_from_device(message, &mut [0; MAX_FRAME]), Ok(frame));
    }
    to_device.is_ok() || from_device.is_ok()
}

/// A frame after one that was cut off.
fn read(frame: &[u8]) -> FrameBuffer {
    let mut buffer = FrameBuffer::new();
    assert!([7, 7, 0].into_iter().filter_map(|byte| buffer.push(byte)).all(|cut| cut.is_err()));
    let ends: Vec<_> = frame.iter().filter_map(|byte| buffer.push(*byte)).collect();
    assert_eq!(ends, [Ok(())]);
    buffer
}
