//! The API: package `nexus.v1` and the code generated from it.
//!
//! The `.proto` files under `nexus/v1` are the source; their comments are the documentation.

/// Messages, clients and servers of package `nexus.v1`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("nexus.v1");
}

/// The encoded `FileDescriptorSet` of the package, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nexus.bin"));

/// Every method of the package: the service's full name, and the method's.
pub fn methods() -> impl Iterator<Item = (&'static str, &'static str)> {
    METHODS.iter().copied()
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// What an event is: the number of its body's field; 0 if it has none that this version knows.
pub fn kind_of(event: &v1::Event) -> u32 {
    use prost::Message as _;
    let body = v1::Event { body: event.body.clone(), ..Default::default() };
    let key = prost::encoding::decode_varint(&mut &body.encode_to_vec()[..]);
    key.map_or(0, |key| (key >> 3) as u32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_of_methods_names_each_once() {
        let table = include_str!("../../docs/api.md");
        let rows = table.lines().filter(|line| line.starts_with("| ") && line.contains("Service |"));
        let listed: Vec<(String, &str)> = rows
            .filter_map(|row| {
                let mut cells = row.split('|').map(str::trim).skip(1);
                Some((format!("nexus.v1.{}", cells.next()?), cells.next()?))
            })
            .collect();
        let mut listed: Vec<(&str, &str)> =
            listed.iter().map(|(service, method)| (&service[..], *method)).collect();
        let mut described: Vec<_> = super::methods().collect();
        listed.sort_unstable();
        described.sort_unstable();
        assert_eq!(listed, described);
    }
}
