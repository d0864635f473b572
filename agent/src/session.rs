//! Sends what the buffer holds.

use mingjing_proto::chain;
use mingjing_proto::device_signed::Purpose;
use mingjing_proto::pb;
use prost::Message;

use crate::identity::{SignError, Signer};

/// A gap as the control record that goes out; its link is the gap's `end_link`, so it may be built
/// anew for every sending.
pub(crate) fn gap_frame(gap: pb::Gap, signer: &dyn Signer) -> Result<pb::RecordFrame, SignError> {
    let payload = gap.encode_to_vec();
    let signature = signer.sign(&Purpose::Gap.bytes(&payload))?;
    let count = gap.last_seq - gap.first_seq + 1;
    let body = pb::Control {
        version: mingjing_proto::RECORD_VERSION,
        body: Some(pb::control::Body::Gap(pb::DeviceSigned { payload, signature })),
    };
    let body = body.encode_to_vec();
    Ok(pb::RecordFrame {
        first_seq: gap.first_seq,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        category: pb::Category::Control.into(),
        salt: chain::sha256(&body)[..16].to_vec(),
        body: body.into(),
    })
}
