import CLinux
import Glibc
import Testing

@testable import Daemon

/// Each in a process of its own.
@Suite("What a process inherits, put right")
struct ProcessStartTests {
    @Test(
        "closed descriptors 0 to 2 are /dev/null before anything else can be there",
        arguments: [[0], [1, 2], [0, 1, 2]])
    func descriptors(_ closed: [Int32]) async {
        await #expect(processExitsWith: .success) { [closed = closed as [Int32]] in
            for descriptor in closed { close(descriptor) }
            let start = ProcessStart()
            precondition(start.closedDescriptors == closed)
            for descriptor in closed {
                var target = [CChar](repeating: 0, count: 64)
                let length = readlink("/proc/self/fd/\(descriptor)", &target, target.count)
                let path = String(
                    decoding: target.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
                precondition(path == "/dev/null", "\(descriptor) is \(path)")
            }
        }
    }

    @Test("soft limits are raised to the hard ones, and it is said")
    func limits() async {
        await #expect(processExitsWith: .success) {
            var limit = rlimit(rlim_cur: 64, rlim_max: 4096)
            precondition(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
            let start = ProcessStart()
            #expect(ResourceLimit.descriptors.values?.soft == 4096)
            let log = LogRecorder()
            start.report(to: log.logger)
            #expect(log.contains("RLIMIT_NOFILE: soft limit raised from 64 to 4096, the hard one"))
            for limit in ResourceLimit.allCases {
                #expect(limit.values.map { $0.soft == $0.hard } ?? true, "\(limit.name)")
            }
        }
    }

    @Test("no core files, unless they are asked for, and then there is a warning")
    func coreFiles() async {
        await #expect(processExitsWith: .success) {
            let start = ProcessStart()
            let log = LogRecorder()
            #expect(!clinux_is_dumpable())
            start.report(to: log.logger)
            #expect(!log.contains("core files"))
            start.allowCoreDumps()
            #expect(clinux_is_dumpable())
            start.report(to: log.logger)
            #expect(log.contains("warning: core files of this process would hold keys"))
        }
    }
}
