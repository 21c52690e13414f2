internal import Glibc
internal import SingleUnit
internal import TCMUTestKit

/// Sends COUNT commands down PATH, `batch` at a time, for callgrind to count the instructions of ``countedStep(_:answers:)``:
/// the unit's own work, and none of what plays the kernel.
@main
enum PathCounts {
    /// Commands in the ring when the unit is served.
    static let batch = 32

    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3, let path = CountedPath(rawValue: arguments[1]),
            let count = Int(arguments[2]), count > 0, count % batch == 0
        else {
            let names = CountedPath.allCases.map(\.rawValue).joined(separator: "|")
            print("usage: path-counts \(names) COUNT   (a multiple of \(batch))")
            exit(2)
        }
        let unit = try path == .read ? SingleUnit.answeringAtOnce() : SingleUnit.answeringLater()
        for _ in 0..<count / batch { path.run(unit, batch) }
    }
}

/// What is counted.
enum CountedPath: String, CaseIterable {
    /// READ whose backend answers at once: taken, decoded, dispatched, completed, published.
    case read
    /// WRITE up to the backend, which keeps it: taken, decoded, dispatched, parked.
    case submission
    /// The backend's answer: posted to the inbox, taken, completed, published.
    case completion

    func run(_ unit: SingleUnit, _ batch: Int) {
        switch self {
        case .read:
            unit.kernel.post(InitiatorCDB.read10(0x1000, 8), count: batch, inBytes: 4096)
            countedStep(unit, answers: false)
        case .submission:
            unit.kernel.post(InitiatorCDB.write10(0x1000, 8), count: batch, outBytes: 4096)
            countedStep(unit, answers: false)
            unit.answerHeld()
            unit.collect()
        case .completion:
            unit.kernel.post(InitiatorCDB.write10(0x1000, 8), count: batch, outBytes: 4096)
            unit.serve()
            countedStep(unit, answers: true)
        }
        unit.kernel.reap(count: batch)
    }
}

/// What callgrind collects: `--toggle-collect=*countedStep*`. The only thing here by that name, and never inlined.
@inline(never)
func countedStep(_ unit: SingleUnit, answers: Bool) {
    if answers {
        unit.answerHeld()
        unit.collect()
    } else {
        unit.serve()
    }
}
