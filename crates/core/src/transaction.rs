//! Transactions that a key of its own sends.

use alloy_primitives::{Address, B256, Keccak256, U256};

use crate::{
    keccak::digest,
    sink::{BufferFull, Encode, Sink},
};

/// A transaction of type 2 (EIP-1559) that calls a contract, to be signed: without an access list, and without a way to
/// create a contract.
///
/// It encodes as what is hashed to be signed: `0x02 ‖ rlp([chain id, nonce, max priority fee, max fee, gas limit, to, value,
/// data, []])`. `B` is what holds the call data.
///
/// ```
/// use quorate_core::{Address, Encode, Transaction, U256, b256};
///
/// let transaction = Transaction {
///     chain_id: 1,
///     nonce: 7,
///     max_priority_fee_per_gas: 1_000_000_000,
///     max_fee_per_gas: 30_000_000_000,
///     gas_limit: 300_000,
///     to: Address::repeat_byte(0xdb),
///     value: U256::ZERO,
///     data: [0xce, 0xf6, 0xd2, 0x09],
/// };
/// let mut payload = heapless::Vec::<u8, 64>::new();
/// transaction.write_to(&mut payload)?;
/// assert_eq!(payload[..2], [0x02, 0xc0 + 45], "its type, and a list of 45 bytes");
/// assert_ne!(transaction.signing_hash(), Transaction { nonce: 8, ..transaction }.signing_hash());
/// # Ok::<(), quorate_core::BufferFull>(())
/// ```
///
/// Source: EIP-2718 and EIP-1559.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transaction<B> {
    /// The chain that it is for.
    pub chain_id: u64,
    /// The number of transactions that its sender has sent before it.
    pub nonce: u64,
    /// The most that one gas pays to the block's builder, in wei.
    pub max_priority_fee_per_gas: u128,
    /// The most that one gas costs, in wei.
    pub max_fee_per_gas: u128,
    /// The most gas that it takes.
    pub gas_limit: u64,
    /// Whom it calls.
    pub to: Address,
    /// What it sends along, in wei.
    pub value: U256,
    /// What the contract is called with.
    pub data: B,
}

impl<B: AsRef<[u8]>> Transaction<B> {
    /// What its sender signs: the keccak-256 of its encoding.
    pub fn signing_hash(&self) -> B256 {
        let mut hasher = Keccak256::new();
        // A hasher is never full.
        let _ = self.write_to(&mut hasher);
        digest(&hasher)
    }
}

/// A transaction with its sender's signature, which encodes as it is sent: `0x02 ‖ rlp([…, y parity, r, s])`. Its hash is the
/// keccak-256 of that.
///
/// ```
/// use quorate_core::{Encode, SignedTransaction, Transaction, U256};
///
/// let transaction = Transaction { chain_id: 1, data: [], ..Default::default() };
/// let signed = SignedTransaction { transaction, y_parity: true, r: U256::from(5), s: U256::from(6) };
/// let mut encoded = heapless::Vec::<u8, 64>::new();
/// signed.write_to(&mut encoded)?;
/// assert_eq!(encoded[encoded.len() - 3..], [1, 5, 6]);
/// # Ok::<(), quorate_core::BufferFull>(())
/// ```
///
/// Source: EIP-1559.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedTransaction<B> {
    /// What is signed.
    pub transaction: Transaction<B>,
    /// Whether the y of the signature's point is odd.
    pub y_parity: bool,
    /// The signature's r.
    pub r: U256,
    /// The signature's s, which is the low one (EIP-2).
    pub s: U256,
}

/// What is encoded as its type and a list.
trait Fields {
    /// Writes the list without its head.
    fn write_fields<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull>;

    fn fields_len(&self) -> usize {
        let mut len = Len(0);
        // A count is never full.
        let _ = self.write_fields(&mut len);
        len.0
    }

    fn len(&self) -> usize {
        let fields = self.fields_len();
        let mut head = Len(0);
        let _ = put_head(&mut head, LIST, fields);
        1 + head.0 + fields
    }

    fn write<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(&[TYPE])?;
        put_head(sink, LIST, self.fields_len())?;
        self.write_fields(sink)
    }
}

impl<B: AsRef<[u8]>> Fields for Transaction<B> {
    fn write_fields<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        put_number(sink, &U256::from(self.chain_id))?;
        put_number(sink, &U256::from(self.nonce))?;
        put_number(sink, &U256::from(self.max_priority_fee_per_gas))?;
        put_number(sink, &U256::from(self.max_fee_per_gas))?;
        put_number(sink, &U256::from(self.gas_limit))?;
        put_string(sink, self.to.as_slice())?;
        put_number(sink, &self.value)?;
        put_string(sink, self.data.as_ref())?;
        sink.put(&[LIST])
    }
}

impl<B: AsRef<[u8]>> Fields for SignedTransaction<B> {
    fn write_fields<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        self.transaction.write_fields(sink)?;
        put_number(sink, &U256::from(u8::from(self.y_parity)))?;
        put_number(sink, &self.r)?;
        put_number(sink, &self.s)
    }
}

impl<B: AsRef<[u8]>> Encode for Transaction<B> {
    fn encoded_len(&self) -> usize {
        self.len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        self.write(sink)
    }
}

impl<B: AsRef<[u8]>> Encode for SignedTransaction<B> {
    fn encoded_len(&self) -> usize {
        self.len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        self.write(sink)
    }
}

/// Counts what is written.
struct Len(usize);

impl Sink for Len {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        self.0 += bytes.len();
        Ok(())
    }
}

/// The type of the transaction.
const TYPE: u8 = 2;
/// What an empty list is in RLP, and an empty string.
const LIST: u8 = 0xc0;
const STRING: u8 = 0x80;
/// The most bytes whose number stands in the first byte.
const SHORT: usize = 55;

fn put_number<S: Sink + ?Sized>(sink: &mut S, number: &U256) -> Result<(), BufferFull> {
    put_string(sink, significant(&number.to_be_bytes()))
}

fn put_string<S: Sink + ?Sized>(sink: &mut S, bytes: &[u8]) -> Result<(), BufferFull> {
    if !matches!(bytes, [0..STRING]) {
        put_head(sink, STRING, bytes.len())?;
    }
    sink.put(bytes)
}

/// What stands before the bytes of a string or of a list, which `empty` says.
fn put_head<S: Sink + ?Sized>(sink: &mut S, empty: u8, len: usize) -> Result<(), BufferFull> {
    let byte = |number: usize| u8::try_from(number).unwrap_or_default();
    if len <= SHORT {
        return sink.put(&[empty + byte(len)]);
    }
    let len = U256::from(len).to_be_bytes();
    let len = significant(&len);
    sink.put(&[empty + byte(SHORT + len.len())])?;
    sink.put(len)
}

/// A number without the zeros before it.
fn significant(number: &[u8; 32]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
