//! Where things are: the page's size, the conversation's pane, and whether a node has a place at all.

use mingjing_proto::pb;

use super::is_list;

/// The part of a wide screen the conversation stands in: the list above its input, when that is not
/// as wide as the screen.
pub(super) fn pane(nodes: &[pb::Node], anchor: Option<&pb::Node>, width: i32) -> (i32, i32) {
    let Some(anchor) = anchor.filter(|it| bounded(it)) else {
        return (0, width);
    };
    let middle = i32::midpoint(anchor.left, anchor.right);
    nodes
        .iter()
        .filter(|it| is_list(it) && bounded(it))
        .filter(|it| (it.left..it.right).contains(&middle))
        .map(|it| (it.left, it.right - it.left))
        .find(|(_, wide)| wide * 4 >= width && wide * 10 <= width * 9)
        .unwrap_or((0, width))
}

/// The page's size; when it was not told, the usual screen its nodes fit on.
pub(super) fn size(screen: &pb::Screen, nodes: &[pb::Node]) -> (i32, i32) {
    let placed = || nodes.iter().filter(|it| bounded(it));
    let fitting = |most: i32| {
        USUAL_WIDTHS
            .into_iter()
            .find(|it| most <= *it)
            .unwrap_or(most)
    };
    let width = match screen.width {
        told if told > 0 => told.min(LARGEST),
        _ => fitting(placed().map(|it| it.right).max().unwrap_or(0)),
    };
    let height = match screen.height {
        told if told > 0 => told.min(LARGEST),
        _ => placed()
            .map(|it| it.bottom)
            .max()
            .unwrap_or(0)
            .max(width * 16 / 9),
    };
    (width, height)
}

/// Widths of phone screens in pixels.
const USUAL_WIDTHS: [i32; 5] = [480, 720, 1080, 1440, 2160];
/// No screen is larger; what claims to be has no bounds.
const LARGEST: i32 = 100_000;

/// Whether a node says where it is.
pub(in crate::recognise) fn bounded(node: &pb::Node) -> bool {
    let inside = |edge: i32| (-LARGEST..=LARGEST).contains(&edge);
    let edges = [node.left, node.top, node.right, node.bottom];
    edges.into_iter().all(inside) && node.right > node.left && node.bottom > node.top
}
