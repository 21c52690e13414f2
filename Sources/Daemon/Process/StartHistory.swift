internal import Glibc
internal import KernelFiles
internal import Logging
internal import SystemPackage

/// Starts that came one upon the other, in a file that outlives the process and not a reboot.
///
/// A service manager's restarts come at the same pace for ever (systemd has longer and longer pauses only since version 254).
/// A daemon that dies with each write would bar its predecessor's clients from the cluster several times a second. So it makes
/// the pauses itself, before it touches anything: the first few restarts follow at once, since one crash must not cost more than
/// it must, and then they grow.
struct StartHistory: Sendable {
    let file: FilePath

    /// A life as long as this ends a row, in seconds.
    static let calm: Int64 = 60

    /// What is known of the starts before.
    struct Row: Equatable {
        /// Starts, this one counted.
        var starts = 1
        /// When the last one was, in seconds since the machine was started.
        var last: Int64

        /// Seconds to wait before going on: none for the first four, then 1, 2, 4 … 30.
        var pause: Int64 { starts < 5 ? 0 : min(30, 1 << Int64(min(starts - 5, 5))) }

        /// The row with a start at `now`: the same one, or the first of a new one.
        func next(_ now: Int64) -> Row {
            let isInRow = now >= last && now - last <= StartHistory.calm + pause
            return Row(starts: isInRow ? starts + 1 : 1, last: now)
        }

        /// As the file has it.
        var text: String { "\(starts) \(last)\n" }

        init(starts: Int = 1, last: Int64) {
            (self.starts, self.last) = (starts, last)
        }

        /// Nil for anything but two numbers.
        init?(parsing text: String) {
            let words = text.split(separator: "\n").first?.split(separator: " ") ?? []
            guard words.count == 2, let starts = Int(words[0]), let last = Int64(words[1]),
                (1...1_000_000).contains(starts),
                last >= 0
            else { return nil }
            self.init(starts: starts, last: last)
        }
    }

    /// Notes a start at `now`, in seconds since the machine was started. What cannot be noted is not: then there are no pauses.
    func begin(_ now: Int64 = StartHistory.now) -> Row {
        let row = read().map { $0.next(now) } ?? Row(last: now)
        mkdir(file.removingLastComponent().string, 0o755)
        if let file = try? FileDescriptor.open(
            file, .writeOnly, options: [.create, .truncate, .closeOnExec, .noFollow],
            permissions: .ownerReadWrite)
        {
            _ = try? file.closeAfter { try file.writeAll(row.text.utf8) }
        }
        return row
    }

    /// The daemon has stopped because it was asked to: the next start is the first of a row.
    func end() {
        unlink(file.string)
    }

    private func read() -> Row? {
        guard let bytes = try? SmallFile.prefix(of: file, 64, .notALink) else { return nil }
        return Row(parsing: String(decoding: bytes, as: UTF8.self))
    }

    private static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Int64(time.tv_sec)
    }
}
