//! What a node can be asked, for tools that know nothing of synod: server reflection of gRPC.

use tonic_reflection::server::{Builder, Error, v1, v1alpha};

/// The `.proto` files of synod, compiled. `proto/check` makes it.
const DESCRIPTORS: &[u8] = include_bytes!("generated/synod.v1.bin");

/// The most bytes of a question: a name.
const QUESTION: usize = 4_096;

/// Both versions of the service, of which tools know one. They list `services`, and know what all of the files say.
pub(crate) type Services<V1, V1Alpha> = (v1::ServerReflectionServer<V1>, v1alpha::ServerReflectionServer<V1Alpha>);

pub(crate) fn services(
    services: &[&'static str],
) -> Result<Services<impl v1::ServerReflection, impl v1alpha::ServerReflection>, Error> {
    let builder = || {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        services.iter().fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let (now, before) = (builder().build_v1()?, builder().build_v1alpha()?);
    Ok((now.max_decoding_message_size(QUESTION), before.max_decoding_message_size(QUESTION)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_descriptors_are_whole() {
        super::services(&["synod.v1.Peer"]).map(drop).unwrap();
    }
}
