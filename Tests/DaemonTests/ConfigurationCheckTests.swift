import DBusService
import Testing

@testable import Daemon

/// What targetcli shows when a backstore cannot be made must say which part of the text is wrong.
@Suite("Checking a configuration text before there is a device")
struct ConfigurationCheckTests {
    static let invalid: [(title: String, subtype: String, text: String, says: String)] = [
        ("empty", "rbd", "", "<subtype>/<configuration>"),
        ("another object's", "rbd", "file//etc/passwd", "begins with \"file\", expected \"rbd/\""),
        ("a prefix of the subtype is not it", "rbd", "rb/rbd/a", "expected \"rbd/\""),
        ("rbd without an image", "rbd", "rbd/rbd", "<pool>[/<namespace>]/<image>"),
        ("rbd with a bad time-out", "rbd", "rbd/rbd/a;osd_op_timeout=soon", "a whole number of seconds"),
        ("rbd with a conf that is not there", "rbd", "rbd/rbd/a;conf=/nowhere/ceph.conf", "/nowhere/ceph.conf"),
        ("rbd with a conf that is a directory", "rbd", "rbd/rbd/a;conf=/tmp", "/tmp"),
        ("a file by a relative path", "file", "file/image", "an absolute path"),
        ("a file that is not there", "file", "file//nowhere/image", "/nowhere/image"),
        ("a directory", "file", "file//tmp", "neither a file nor a block device"),
        ("a character device", "file", "file//dev/null", "neither a file nor a block device"),
        ("a file with an unknown option", "file", "file//etc/hostname;fast=on", "direct=on|off"),
        ("memory without a label", "mem", "mem/", "a name without options"),
        ("control characters are escaped", "file", "file//nowhere/\u{1B}[2J", "\\u{1B}"),
    ]

    @Test("says what is wrong", arguments: invalid)
    func wrong(title: String, subtype: String, text: String, says: String) {
        let verdict = ConfigurationCheck.verdict(text, subtype: subtype)
        #expect(!verdict.isValid)
        #expect(verdict.text.contains(says), "\(title): \(verdict.text)")
    }

    @Test("what would open is a success", arguments: ["mem/a"])
    func right(text: String) {
        #expect(ConfigurationCheck.verdict(text, subtype: "mem") == .success)
    }

    @Test("a text of any bytes is judged and no more", arguments: 0..<64)
    func anything(seed: UInt64) {
        var random = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        let scalars = (0..<255).map { _ -> Unicode.Scalar in
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Unicode.Scalar(UInt8(random >> 56))
        }
        var text = "file/"
        text.unicodeScalars.append(contentsOf: scalars)
        for subtype in ConfigurationCheck.subtypes().map(\.name) {
            #expect(!ConfigurationCheck.verdict(text, subtype: subtype).isValid, "seed \(seed)")
        }
    }

    @Test("every subtype that is served has an object, and the other way round")
    func completeness() {
        #expect(Set(ConfigurationCheck.subtypes().map(\.name)) == DeviceOpening.subtypes)
    }
}
