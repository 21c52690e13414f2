internal import BlockBackend
internal import Glibc

/// Answers surveys of an open image by calls that may block: for a thread of its own.
struct FileSurvey: Sendable {
    // Stays open until the last survey is answered: FileBackend.close ends the thread first.
    private let descriptor: CInt
    private let isBlockDevice: Bool
    private let reportsAllocation: Bool

    /// Of `image`, whose descriptor must outlive every answer.
    init(_ image: borrowing ImageFile) {
        descriptor = image.descriptor
        isBlockDevice = image.isBlockDevice
        reportsAllocation = image.capabilities.reportsAllocation
    }

    /// True if the file system takes SEEK_HOLE. One that knows of no holes takes it as well, and calls everything
    /// data.
    static func tellsHoles(_ descriptor: CInt) -> Bool { lseek(descriptor, 0, seekHole) >= 0 }

    /// Fills in the answer. Returns what lseek(2) or fstatvfs(3) failed with.
    func answer(_ survey: Survey) -> IOResult {
        switch survey.question {
        case .allocation(let extent, let limit): allocation(of: extent, limit: limit, survey)
        case .space: space(survey)
        }
    }

    /// Steps from hole to data to hole. Space that was reserved but never written (fallocate, or ZERO_RANGE as
    /// `writeZeroes` uses it) is a hole to the kernel: it reads zeros.
    private func allocation(of extent: ByteExtent, limit: Int, _ survey: Survey) -> IOResult {
        let end = extent.offset + extent.length
        guard reportsAllocation else {
            _ = survey.append(from: extent.offset, to: end, isMapped: true, limit: limit)
            return .success
        }
        var position = extent.offset
        // Bound: each round finds at least one run of another state, unless somebody punches and writes under it
        // all the time; then the walk ends, too.
        for _ in 0...max(limit, 1) where position < end {
            let data: UInt64
            switch seek(position, FileSurvey.seekData) {
            case .success(let found): data = min(max(found, position), end)
            // No data from here on; also where the file was cut short meanwhile, which reads zeros.
            case .failure(.noData): data = end
            case .failure(.failed(let code)): return IOResult(code: -code)
            }
            guard survey.append(from: position, to: data, isMapped: false, limit: limit), data < end else { break }
            switch seek(data, FileSurvey.seekHole) {
            case .success(let found): position = min(max(found, data), end)
            case .failure(.noData): position = data
            case .failure(.failed(let code)): return IOResult(code: -code)
            }
            guard survey.append(from: data, to: position, isMapped: true, limit: limit) else { break }
        }
        // Data that was there and is gone, every time: nothing safer can be said than that it is there.
        if survey.runs.isEmpty { _ = survey.append(from: extent.offset, to: end, isMapped: true, limit: limit) }
        return .success
    }

    /// The file system's space that users without privileges may still take, and the blocks that the image has.
    private func space(_ survey: Survey) -> IOResult {
        if isBlockDevice { return .success }
        var system = statvfs()
        guard fstatvfs(descriptor, &system) == 0 else { return IOResult(code: -errno) }
        let (free, overflow) = UInt64(system.f_bavail).multipliedReportingOverflow(by: UInt64(system.f_frsize))
        survey.availableBytes = overflow ? UInt64.max : free
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { return IOResult(code: -errno) }
        // In units of 512 bytes, whatever the file system's blocks are (stat(3type)).
        survey.usedBytes = UInt64(clamping: facts.st_blocks) * 512
        return .success
    }

    private enum SeekFailure: Error {
        /// ENXIO: no data behind the position, or the position is behind the file's end.
        case noData
        /// An errno.
        case failed(CInt)
    }

    /// Moves the file's position, which nobody else uses: every transfer names its own.
    private func seek(_ position: UInt64, _ whence: CInt) -> Result<UInt64, SeekFailure> {
        let found = lseek(descriptor, off_t(clamping: position), whence)
        if found >= 0 { return .success(UInt64(found)) }
        return .failure(errno == ENXIO ? .noData : .failed(errno))
    }

    // linux/fs.h; Glibc's module leaves them out, being GNU's.
    private static let seekData: CInt = 3
    private static let seekHole: CInt = 4
}
