//! The protocol finds its way back from whatever a host does.

use quorate_device::{Decision, MAX_FRAME, Numbered, ToDevice};

use crate::rig::{Answer, Button, Rig, begin, frame, grant, hash, read, session};

fn refused(reason: &str) -> Answer {
    Answer::Refused(reason.to_owned())
}

const UNEXPECTED: &str = "the frame is not expected here";

#[test]
fn a_new_request_ends_the_one_before_whatever_its_state() {
    let (request, leaf) = (grant(), session());
    let states: [&[ToDevice<'_>]; 5] = [
        &[],
        &[begin(&request)],
        &[begin(&request), ToDevice::session(&leaf.borrow())],
        &[begin(&request), ToDevice::session(&leaf.borrow()), ToDevice::CallData(&[0x76])],
        &[begin(&request), ToDevice::Cancel],
    ];
    for state in states {
        let mut rig = Rig::new(Button::that(Decision::Approve));
        rig.send_all(state.iter().copied());
        assert_eq!(rig.send(7, ToDevice::Address), [(7, Answer::Address(rig.device.address()))]);
        rig.send_all(state.iter().copied());
        assert!(matches!(rig.sign(&grant()), Answer::Signature(_)), "{state:?}");
    }
}

#[test]
fn a_new_request_ends_the_wait_for_the_button() {
    let mut rig = Rig::new(Button::default());
    assert_eq!(rig.sign(&grant()), Answer::Waiting(hash(&grant())));
    assert_eq!(rig.send(2, begin(&grant())), [(2, Answer::Ready)]);
    rig.button.press(Decision::Approve);
    assert!(rig.send_bytes(&[]).is_empty(), "the button approves what is no longer asked");
    assert!(!rig.device.is_waiting());
}

#[test]
fn a_press_before_the_question_does_not_count() {
    let mut rig = Rig::new(Button::default());
    rig.button.press(Decision::Approve);
    assert_eq!(rig.sign(&grant()), Answer::Waiting(hash(&grant())));
    assert!(rig.send_bytes(&[]).is_empty());
    rig.button.press(Decision::Approve);
    assert!(matches!(read(&rig.send_bytes(&[])).as_slice(), [(1, Answer::Signature(_))]));
    rig.button.press(Decision::Approve);
    assert!(rig.send_bytes(&[]).is_empty(), "one press signs once");
}

#[test]
fn a_request_is_cancelled_before_and_after_its_end() {
    let mut rig = Rig::new(Button::default());
    rig.send_all([begin(&grant())]);
    assert_eq!(rig.send(1, ToDevice::Cancel), [(1, refused("given up by the host"))]);
    assert_eq!(rig.screen.text(), "");
    assert_eq!(rig.send(1, ToDevice::End), [(1, refused(UNEXPECTED))]);

    rig.sign(&grant());
    assert_eq!(rig.send(1, ToDevice::Cancel), [(1, refused("given up by the host"))]);
    rig.button.press(Decision::Approve);
    assert!(rig.send_bytes(&[]).is_empty());
}

#[test]
fn frames_in_a_wrong_order_end_the_request() {
    let (request, leaf) = (grant(), session());
    let session = ToDevice::session(&leaf.borrow());
    let call_data = ToDevice::CallData(request.operation.call_data());
    let orders: [(&[ToDevice<'_>], &str); 7] = [
        (&[session], UNEXPECTED),
        (&[call_data], UNEXPECTED),
        (&[ToDevice::End], UNEXPECTED),
        (&[ToDevice::Permissions(b"{}")], UNEXPECTED),
        (&[begin(&request), ToDevice::Permissions(b"{}")], UNEXPECTED),
        (&[begin(&request), call_data], "were not given"),
        (&[begin(&request), session, call_data, session], "does not come now"),
    ];
    for (order, reason) in orders {
        let mut rig = Rig::new(Button::that(Decision::Approve));
        let Answer::Refused(told) = rig.send_all(order.iter().copied()) else { panic!("{order:?}") };
        assert!(told.contains(reason), "{told}");
        assert_eq!(rig.send(1, ToDevice::End), [(1, refused(UNEXPECTED))], "{order:?}");
        assert!(rig.button.asked().is_empty());
    }
}

#[test]
fn a_frame_of_another_request_ends_the_request() {
    let mut rig = Rig::new(Button::that(Decision::Approve));
    rig.send_all([begin(&grant())]);
    let reason = "the frame is not one of the request before it";
    assert_eq!(rig.send(2, ToDevice::CallData(&[])), [(2, refused(reason))]);
    assert_eq!(rig.screen.text(), format!("REFUSED: {reason}"));
    assert_eq!(rig.send(1, ToDevice::End), [(1, refused(UNEXPECTED))]);
}

#[test]
fn a_host_that_dies_within_a_frame_does_no_harm() {
    for cut in 1..frame(1, begin(&grant())).len() - 1 {
        let mut rig = Rig::new(Button::that(Decision::Approve));
        let partial = &frame(1, begin(&grant()))[..cut];
        assert!(rig.send_bytes(partial).is_empty());
        // The next host begins with a zero.
        assert_eq!(read(&rig.send_bytes(&[0])), [(0, refused("a frame cannot be read"))]);
        assert!(matches!(rig.sign(&grant()), Answer::Signature(_)));
    }
}

#[test]
fn empty_frames_are_ignored() {
    let mut rig = Rig::new(Button::default());
    rig.send_all([begin(&grant())]);
    assert!(rig.send_bytes(&[0; 10]).is_empty());
    assert_eq!(rig.send(1, ToDevice::session(&session().borrow())), [(1, Answer::Ready)]);
}

#[test]
fn a_frame_that_is_too_long_is_skipped_to_its_end_and_ends_the_request() {
    let mut rig = Rig::new(Button::default());
    rig.send_all([begin(&grant())]);
    let long = [vec![7; 3 * MAX_FRAME], vec![0]].concat();
    let reason = format!("a frame has more than {MAX_FRAME} bytes");
    assert_eq!(read(&rig.send_bytes(&long)), [(1, refused(&reason))]);
    assert_eq!(rig.screen.text(), format!("REFUSED: {reason}"));
    assert_eq!(rig.send(2, ToDevice::Address), [(2, Answer::Address(rig.device.address()))]);
}

#[test]
fn bytes_after_a_message_end_the_request() {
    let mut buffer = [0; 8];
    let message =
        postcard::to_slice(&Numbered { request: 1, message: ToDevice::End }, &mut buffer).unwrap().to_vec();
    let framed = |message: &[u8]| [cobs::encode_vec(message), vec![0]].concat();
    let mut rig = Rig::new(Button::default());
    assert_eq!(read(&rig.send_bytes(&framed(&message))), [(1, refused(UNEXPECTED))]);
    rig.send_all([begin(&grant())]);
    let trailing = [message, vec![0]].concat();
    assert_eq!(read(&rig.send_bytes(&framed(&trailing))), [(1, refused("a frame cannot be read"))]);
    assert_eq!(rig.send(1, ToDevice::End), [(1, refused(UNEXPECTED))]);
}

#[test]
fn what_is_no_request_leaves_the_screen_alone() {
    let mut rig = Rig::new(Button::default());
    rig.send_bytes(&[9, 9, 9, 0]);
    rig.send(3, ToDevice::End);
    assert_eq!(rig.screen.lines(), [""; 0]);
}
