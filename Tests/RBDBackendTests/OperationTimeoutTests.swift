import RBDBackend
import Testing

/// One row of the ladder: what is configured, and what must be in force.
struct TimeoutCase: CustomTestStringConvertible, Sendable {
    var configured: Int?
    var cluster: Int?
    var grace = 20
    var interval = 6
    var seconds: Int
    var noteHas: String?

    var testDescription: String {
        "unit \(configured.map(String.init) ?? "-"), conf \(cluster.map(String.init) ?? "-") -> \(seconds) s"
    }
}

@Suite("OSD operation time-out")
struct OperationTimeoutTests {
    @Test(
        "the longer of failure detection and configuration wins",
        arguments: [
            TimeoutCase(configured: 30, cluster: 0, seconds: 30),
            TimeoutCase(configured: 27, cluster: nil, seconds: 27),
            TimeoutCase(configured: 26, cluster: nil, seconds: 31, noteHas: "osd_op_timeout 26 is too short"),
            TimeoutCase(configured: 10, cluster: 40, seconds: 40, noteHas: "using 40 s"),
            TimeoutCase(configured: 10, cluster: 12, seconds: 31, noteHas: "osd_op_timeout 10"),
            TimeoutCase(configured: nil, cluster: 27, seconds: 27),
            TimeoutCase(configured: nil, cluster: 26, seconds: 31, noteHas: "rados_osd_op_timeout 26"),
            TimeoutCase(configured: nil, cluster: 0, seconds: 31, noteHas: "not set"),
            TimeoutCase(configured: 30, cluster: 0, grace: 60, interval: 10, seconds: 75, noteHas: "70 s"),
            TimeoutCase(configured: -1, cluster: -1, seconds: 31, noteHas: "osd_op_timeout -1"),
            TimeoutCase(configured: nil, cluster: nil, grace: -5, interval: -5, seconds: 5, noteHas: "not set"),
            TimeoutCase(configured: .max, cluster: nil, seconds: 3_155_760_000),
            TimeoutCase(
                configured: 1, cluster: 1, grace: .max, interval: .max, seconds: 6_311_520_005, noteHas: "too short"
            ),
        ])
    func ladder(row: TimeoutCase) {
        let timeout = OperationTimeout(
            configured: row.configured, cluster: row.cluster, heartbeatGrace: row.grace,
            heartbeatInterval: row.interval)
        #expect(timeout.seconds == row.seconds)
        if let words = row.noteHas {
            #expect(timeout.note?.contains(words) == true, "note: \(timeout.note ?? "none")")
        } else {
            #expect(timeout.note == nil)
        }
    }

    @Test(
        "numbers in options may have a fraction or a unit",
        arguments: [("31", 31), ("31.000000", 31), ("0", 0), ("", nil), ("x1", nil), ("99999999999999999999", nil)]
            as [(String, UInt64?)])
    func numbers(text: String, value: UInt64?) {
        #expect(leadingNumber(text) == value)
    }
}
