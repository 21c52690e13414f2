package import BlockBackend
internal import CRBD
internal import Glibc
internal import SystemPackage

/// Answers surveys of an open image by calls that block: for a thread of its own.
struct ImageSurvey: @unchecked Sendable {
    // SAFETY: librbd and librados take calls on one image from any thread. Both handles stay open until the last
    // survey is answered: RBDBackend.close ends the thread first.
    private let image: rbd_image_t
    private let cluster: rados_t
    private let objectBytes: UInt64

    /// Objects that one survey looks at. Bound: the OSDs are asked about each of them, some 100 ms for all on one node;
    /// whoever wants to know more asks again from where the answer ended.
    private static let windowObjects: UInt64 = 1024
    /// Objects that are looked at first.
    private static let firstObjects: UInt64 = 4

    /// Of `image`, which must outlive every answer.
    init(_ image: borrowing RBDImage) throws(BackendError) {
        objectBytes = try image.layout().objectBytes
        self.image = image.handle
        cluster = image.context.cluster.handle
    }

    /// Fills in the answer. Returns what librbd or the monitors failed with.
    func answer(_ survey: Survey) -> IOResult {
        switch survey.question {
        case .allocation(let extent, let limit): allocation(of: extent, limit: limit, survey)
        case .space: space(survey)
        }
    }

    /// What `rbd_diff_iterate2` finds written since the beginning of time, a clone's parent included; what it leaves
    /// out is hole.
    ///
    /// librbd 16.2 takes an object for data from its first byte to the last one ever written, so a hole inside an
    /// object does not show, nor one that hides a parent's object. It errs to one side only: what is reported as a
    /// hole reads zeros.
    private func allocation(of extent: ByteExtent, limit: Int, _ survey: Survey) -> IOResult {
        var left = ImageSurvey.window(of: extent, objects: ImageSurvey.windowObjects, objectBytes: objectBytes)
        // A few objects first: most initiators have room for one run, and it may end soon.
        var objects = ImageSurvey.firstObjects
        while left.length > 0 {
            let window = ImageSurvey.window(of: left, objects: objects, objectBytes: objectBytes)
            let found = MappedExtents()
            let code = rbd_diff_iterate2(
                image, nil, window.offset, window.length, 1, 0, noteDifference,
                Unmanaged.passUnretained(found).toOpaque())
            if code < 0 { return ImageSurvey.failure(code) }
            fillRuns(of: survey, in: window, mapped: found.extents, limit: limit)
            if survey.runs.count >= limit { break }
            left = ByteExtent(offset: window.offset + window.length, length: left.length - window.length)
            objects = min(objects * 4, ImageSurvey.windowObjects)
        }
        return .success
    }

    /// What the pool can still store, as `ceph df` says it (MAX AVAIL): copies, the fullest OSD and a quota are
    /// accounted for. `rados_cluster_stat` has only the raw space of all OSDs, of which a pool of three copies can
    /// store a third. What the image has taken is told by no cheap call.
    private func space(_ survey: Survey) -> IOResult {
        let pool = rbd_get_data_pool_id(image)
        guard pool >= 0 else { return ImageSurvey.failure(CInt(clamping: pool)) }
        switch RadosCluster.monitorCommand(
            cluster, #"{"prefix": "df", "detail": "detail", "format": "json"}"#)
        {
        case .success(let text):
            // A pool that the monitors have no figures for yet: unknown.
            survey.availableBytes = availableBytes(pool: pool, in: text)
            return .success
        case .failure(let errno): return ImageSurvey.failure(-errno.rawValue)
        }
    }

    /// The part of `extent` that lies in its first `objects` objects.
    static func window(of extent: ByteExtent, objects: UInt64, objectBytes: UInt64) -> ByteExtent {
        guard objectBytes > 0, objectBytes < UInt64.max / objects else { return extent }
        let longest = objects * objectBytes - extent.offset % objectBytes
        return ByteExtent(offset: extent.offset, length: min(extent.length, longest))
    }

    private static func failure(_ code: CInt) -> IOResult {
        // EILSEQ would be taken for a miscompare.
        IOResult(code: code == -EILSEQ ? -EIO : code)
    }
}

/// Fills `survey` with runs that cover `window` as far as `limit` reaches.
///
/// - Parameter mapped: what is allocated, in any order, possibly touching, overlapping or beyond the window:
///   striping deals neighbouring bytes to different objects.
package func fillRuns(of survey: Survey, in window: ByteExtent, mapped: [ByteExtent], limit: Int) {
    let end = window.offset + window.length
    var position = window.offset
    for extent in mapped.sorted(by: { $0.offset < $1.offset }) {
        let (reach, overflow) = extent.offset.addingReportingOverflow(extent.length)
        let start = min(max(extent.offset, position), end)
        let stop = min(overflow ? UInt64.max : reach, end)
        guard stop > start else { continue }
        guard survey.append(from: position, to: start, isMapped: false, limit: limit) else { return }
        guard survey.append(from: start, to: stop, isMapped: true, limit: limit) else { return }
        position = stop
    }
    _ = survey.append(from: position, to: end, isMapped: false, limit: limit)
}

/// Bytes that pool number `pool` can still store, out of what the monitor command `df detail` printed; nil where that
/// does not say.
package func availableBytes(pool: Int64, in text: String) -> UInt64? {
    guard let pools = JSONValue(text)?["pools"]?.elements,
        let stats = pools.first(where: { $0["id"]?.number == UInt64(exactly: pool) && pool >= 0 })?["stats"],
        let available = stats["max_avail"]?.number
    else { return nil }
    // No quota is written as 0 or left out.
    guard let quota = stats["quota_bytes"]?.number, quota > 0, let stored = stats["stored"]?.number else {
        return available
    }
    return min(available, quota > stored ? quota - stored : 0)
}

/// What the callback below gathers.
private final class MappedExtents {
    var extents: [ByteExtent] = []
}

/// Called by `rbd_diff_iterate2` on its caller's thread, before it returns.
private func noteDifference(
    _ offset: UInt64, _ length: Int, _ exists: CInt, _ argument: UnsafeMutableRawPointer?
) -> CInt {
    guard let argument, exists != 0, length > 0 else { return 0 }
    let found = Unmanaged<MappedExtents>.fromOpaque(argument).takeUnretainedValue()
    found.extents.append(ByteExtent(offset: offset, length: UInt64(length)))
    return 0
}
