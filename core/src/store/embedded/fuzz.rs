//! Any bytes as stored keys and values.

use super::{keys, values};
use crate::store::StoreError;

/// Every reader of stored bytes gives a value, which is stored as one that reads the same, or says that they are damaged.
pub fn fuzz(bytes: &[u8]) {
    let mut told = Vec::new();
    match values::decode_event(1, bytes) {
        Ok(event) => {
            assert!(values::decode_event(1, &values::encode_event(&event)).is_ok_and(|again| again == event));
            if let Ok(Some(_)) = event.decode() {
                assert!(event.to_wire().is_ok());
            }
        }
        Err(error) => told.push(error),
    }
    match values::decode_statics(bytes) {
        Ok(statics) => {
            let again = values::decode_statics(&values::encode_statics(&statics));
            assert!(again.is_ok_and(|again| again == statics));
        }
        Err(error) => told.push(error),
    }
    match values::decode_cell(bytes) {
        Ok((at, value)) => {
            let again = values::decode_cell(&values::encode_cell(at, value.clone()));
            assert!(again.is_ok_and(|again| again == (at, value)));
        }
        Err(error) => told.push(error),
    }
    told.extend(values::decode_dedupe(bytes).err());
    told.extend(values::decode_index(bytes).err());
    told.extend(keys::parse_cell(bytes).err());
    told.extend(keys::parse_last_number(bytes).err());
    match keys::parse_place(bytes) {
        Ok(place) => assert!(keys::parse_place(&keys::place(&place)).is_ok_and(|again| again == place)),
        Err(error) => told.push(error),
    }
    assert!(told.iter().all(|error| matches!(error, StoreError::Corrupt(_))), "{told:?}");
}
