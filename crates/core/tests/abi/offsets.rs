//! For any function, the offset found is where the encoded value stands.

use alloy_dyn_abi::{DynSolType, DynSolValue};
use alloy_primitives::{Address, B256, I256, U256};
use alloy_sol_types::SolValue;
use proptest::prelude::*;
use quorate_core::{ArgumentError, Condition, Policy, PolicyError};

use crate::CONTRACT;

/// Any type: words, dynamic bytes, and arrays and tuples of such.
fn any_type() -> impl Strategy<Value = DynSolType> {
    let leaf = prop_oneof![
        Just(DynSolType::Address),
        Just(DynSolType::Bool),
        Just(DynSolType::Uint(8)),
        Just(DynSolType::Uint(256)),
        Just(DynSolType::Int(64)),
        Just(DynSolType::FixedBytes(4)),
        Just(DynSolType::Bytes),
        Just(DynSolType::String),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ty| DynSolType::Array(ty.into())),
            (inner.clone(), 1..4_usize).prop_map(|(ty, count)| DynSolType::FixedArray(ty.into(), count)),
            prop::collection::vec(inner, 1..4).prop_map(DynSolType::Tuple),
        ]
    })
}

/// Each type as Solidity writes it: unlike alloy's, a tuple of one has no comma at its end.
fn solidity(ty: &DynSolType) -> String {
    match ty {
        DynSolType::Tuple(types) => {
            format!("({})", types.iter().map(solidity).collect::<Vec<_>>().join(","))
        }
        DynSolType::Array(inner) => format!("{}[]", solidity(inner)),
        DynSolType::FixedArray(inner, count) => format!("{}[{count}]", solidity(inner)),
        other => other.sol_type_name().into_owned(),
    }
}

/// The ways to all that is no tuple and no static array, and whether a dynamic type lies on them.
fn leaves(path: String, ty: &DynSolType, dynamic: bool) -> Vec<(String, DynSolType, bool)> {
    let dynamic = dynamic || ty.is_dynamic();
    match ty {
        DynSolType::Tuple(types) => {
            let inner = types.iter().enumerate();
            inner.flat_map(|(at, ty)| leaves(format!("{path}.{at}"), ty, dynamic)).collect()
        }
        DynSolType::FixedArray(inner, count) => {
            (0..*count).flat_map(|at| leaves(format!("{path}[{at}]"), inner, dynamic)).collect()
        }
        ty => vec![(path, ty.clone(), dynamic)],
    }
}

/// A value of `ty` that is zero in every word of the head but in that of `marked`.
fn value(path: String, ty: &DynSolType, marked: &str) -> DynSolValue {
    let is_marked = path == marked;
    let all = |count: usize, inner: &DynSolType| {
        (0..count).map(|at| value(format!("{path}[{at}]"), inner, marked)).collect()
    };
    match ty {
        DynSolType::Address => DynSolValue::Address(Address::repeat_byte(u8::from(is_marked))),
        DynSolType::Bool => DynSolValue::Bool(is_marked),
        DynSolType::Uint(bits) => DynSolValue::Uint(U256::from(u8::from(is_marked)), *bits),
        DynSolType::Int(bits) => {
            DynSolValue::Int(if is_marked { I256::MINUS_ONE } else { I256::ZERO }, *bits)
        }
        DynSolType::FixedBytes(size) => {
            let mut word = B256::ZERO;
            word[..*size].fill(u8::from(is_marked));
            DynSolValue::FixedBytes(word, *size)
        }
        DynSolType::Bytes => DynSolValue::Bytes(vec![0xff; 40]),
        DynSolType::String => DynSolValue::String("text".into()),
        DynSolType::Array(inner) => DynSolValue::Array(all(2, inner)),
        DynSolType::FixedArray(inner, count) => DynSolValue::FixedArray(all(*count, inner)),
        DynSolType::Tuple(types) => {
            let inner = types.iter().enumerate();
            DynSolValue::Tuple(inner.map(|(at, ty)| value(format!("{path}.{at}"), ty, marked)).collect())
        }
        other => panic!("{other:?} is not generated"),
    }
}

fn encode(types: &[DynSolType], marked: &str) -> Vec<u8> {
    let values = types.iter().enumerate().map(|(at, ty)| value(at.to_string(), ty, marked));
    DynSolValue::Tuple(values.collect()).abi_encode_params()
}

proptest! {
    #[test]
    fn an_offset_is_where_the_value_stands(types in prop::collection::vec(any_type(), 1..6)) {
        let arguments = types.iter().map(solidity).collect::<Vec<_>>().join(",");
        let builder = Policy::on(CONTRACT).allow_fn(format!("f({arguments})").as_str())?;
        let zero = encode(&types, "");
        let all = types.iter().enumerate().flat_map(|(at, ty)| leaves(at.to_string(), ty, false));
        for (path, ty, dynamic) in all {
            let builder = builder.clone();
            fn equal<V: SolValue>(
                builder: quorate_core::PolicyBuilder<quorate_core::Arguments>,
                path: &str,
                value: V,
            ) -> Result<Policy, quorate_core::PolicyErrors> {
                builder.arg(path, Condition::Equal, value).build()
            }
            let built = match ty {
                DynSolType::Address => equal(builder, &path, Address::repeat_byte(1)),
                DynSolType::Bool => equal(builder, &path, true),
                DynSolType::Int(_) => equal(builder, &path, -1_i64),
                DynSolType::FixedBytes(_) => equal(builder, &path, [1_u8; 4]),
                _ => equal(builder, &path, U256::from(1)),
            };
            if dynamic {
                let errors = built.unwrap_err();
                let refused = matches!(
                    errors.as_slice(),
                    [PolicyError::Argument { error: ArgumentError::Dynamic { .. }, .. }]
                );
                prop_assert!(refused, "{path} of f({arguments}): {errors}");
                continue;
            }
            let policy = built?;
            let rule = policy.rules()[0];
            let marked = encode(&types, &path);
            prop_assert_eq!(zero.len(), marked.len());
            let differing = zero.chunks(32).zip(marked.chunks(32)).enumerate().filter(|(_, (a, b))| a != b);
            let differing = differing.map(|(word, (_, marked))| (word * 32, B256::from_slice(marked)));
            let found = (usize::from(rule.offset()), rule.reference().word());
            prop_assert_eq!(differing.collect::<Vec<_>>(), [found], "{} of f({})", path, arguments);
        }
    }
}
