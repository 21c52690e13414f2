import Configuration
import Testing

@Suite("Device configuration text")
struct DeviceConfigurationTests {
    struct Row: CustomTestStringConvertible, Sendable {
        let title: String
        let text: String
        let subtype: String
        let parameters: String
        var timeout: Duration?
        var group: String?
        var spin: UInt32?
        let cleaned: String
        var testDescription: String { title }
    }

    static let rows: [Row] = [
        Row(
            title: "plain", text: "rbd/pool/image", subtype: "rbd", parameters: "pool/image",
            cleaned: "rbd/pool/image"),
        Row(title: "no slash", text: "mem", subtype: "mem", parameters: "", cleaned: "mem"),
        Row(title: "empty parameters", text: "mem/", subtype: "mem", parameters: "", cleaned: "mem/"),
        Row(title: "absolute path", text: "file//a/b", subtype: "file", parameters: "/a/b", cleaned: "file//a/b"),
        Row(
            title: "a longer name that starts like one of ours", text: "rbd2/x", subtype: "rbd2", parameters: "x",
            cleaned: "rbd2/x"),
        Row(
            title: "time-out in front", text: "rbd/;tcmur_cmd_time_out=20;p/i;conf=/c", subtype: "rbd",
            parameters: "p/i;conf=/c", timeout: .seconds(20), cleaned: "rbd/p/i;conf=/c"),
        Row(
            title: "time-out in front, before an absolute path", text: "file/;tcmur_cmd_time_out=1;/a",
            subtype: "file",
            parameters: "/a", timeout: .seconds(1), cleaned: "file//a"),
        Row(
            title: "time-out at the end", text: "rbd/p/i;tcmur_cmd_time_out=7", subtype: "rbd", parameters: "p/i",
            timeout: .seconds(7), cleaned: "rbd/p/i"),
        Row(
            title: "time-out at the end with a separator", text: "rbd/p/i;tcmur_cmd_time_out=7;", subtype: "rbd",
            parameters: "p/i", timeout: .seconds(7), cleaned: "rbd/p/i"),
        Row(
            title: "time-out before an option", text: "rbd/p/i;tcmur_cmd_time_out=5;osd_op_timeout=30",
            subtype: "rbd",
            parameters: "p/i;osd_op_timeout=30", timeout: .seconds(5), cleaned: "rbd/p/i;osd_op_timeout=30"),
        Row(
            title: "time-out before an option with its own separator",
            text: "rbd/p/i;tcmur_cmd_time_out=5;;osd_op_timeout=30", subtype: "rbd",
            parameters: "p/i;osd_op_timeout=30", timeout: .seconds(5), cleaned: "rbd/p/i;osd_op_timeout=30"),
        Row(
            title: "time-out after an option", text: "rbd/p/i;osd_op_timeout=30;tcmur_cmd_time_out=5",
            subtype: "rbd",
            parameters: "p/i;osd_op_timeout=30", timeout: .seconds(5), cleaned: "rbd/p/i;osd_op_timeout=30"),
        Row(
            title: "zero is off", text: "rbd/p/i;tcmur_cmd_time_out=0", subtype: "rbd", parameters: "p/i",
            cleaned: "rbd/p/i"),
        Row(
            title: "twice: the last counts", text: "rbd/;tcmur_cmd_time_out=3;p/i;tcmur_cmd_time_out=4",
            subtype: "rbd",
            parameters: "p/i", timeout: .seconds(4), cleaned: "rbd/p/i"),
        Row(
            title: "the spelling of the original's README is not the option", text: "rbd/p/i;tcmur_cmd_timeout=4",
            subtype: "rbd", parameters: "p/i;tcmur_cmd_timeout=4", cleaned: "rbd/p/i;tcmur_cmd_timeout=4"),
        Row(
            title: "without a separator in front it belongs to the backend", text: "rbd/tcmur_cmd_time_out=4;p/i",
            subtype: "rbd", parameters: "tcmur_cmd_time_out=4;p/i", cleaned: "rbd/tcmur_cmd_time_out=4;p/i"),
        Row(
            title: "a combining accent after a separator hides nothing",
            text: "rbd/\u{301}p;tcmur_cmd_time_out=4;\u{301}",
            subtype: "rbd", parameters: "\u{301}p;\u{301}", timeout: .seconds(4), cleaned: "rbd/\u{301}p;\u{301}"),
        Row(
            title: "largest time-out", text: "a/b;tcmur_cmd_time_out=4294967295", subtype: "a", parameters: "b",
            timeout: .seconds(4_294_967_295), cleaned: "a/b"),
        Row(
            title: "copy group in front", text: "rbd/;copy_group=esx;p/i;conf=/c", subtype: "rbd",
            parameters: "p/i;conf=/c", group: "esx", cleaned: "rbd/p/i;conf=/c"),
        Row(
            title: "copy group in front, before an absolute path", text: "file/;copy_group=esx;/a", subtype: "file",
            parameters: "/a", group: "esx", cleaned: "file//a"),
        Row(
            title: "copy group at the end", text: "rbd/p/i;copy_group=esx", subtype: "rbd", parameters: "p/i",
            group: "esx", cleaned: "rbd/p/i"),
        Row(
            title: "copy group at the end with a separator", text: "rbd/p/i;copy_group=esx;", subtype: "rbd",
            parameters: "p/i", group: "esx", cleaned: "rbd/p/i"),
        Row(
            title: "copy group between options", text: "rbd/p/i;conf=/c;copy_group=esx;id=x", subtype: "rbd",
            parameters: "p/i;conf=/c;id=x", group: "esx", cleaned: "rbd/p/i;conf=/c;id=x"),
        Row(
            title: "copy group alone", text: "mem/;copy_group=esx", subtype: "mem", parameters: "", group: "esx",
            cleaned: "mem/"),
        Row(
            title: "time-out, then copy group", text: "rbd/;tcmur_cmd_time_out=3;copy_group=esx;p/i",
            subtype: "rbd",
            parameters: "p/i", timeout: .seconds(3), group: "esx", cleaned: "rbd/p/i"),
        Row(
            title: "copy group, then time-out", text: "file/;copy_group=esx;tcmur_cmd_time_out=3;/a;direct=on",
            subtype: "file", parameters: "/a;direct=on", timeout: .seconds(3), group: "esx",
            cleaned: "file//a;direct=on"),
        Row(
            title: "a doubled separator behind an option in front is the backend's",
            text: "rbd/;copy_group=esx;;p/i", subtype: "rbd", parameters: ";p/i", group: "esx", cleaned: "rbd/;p/i"),
        Row(
            title: "copy group and time-out on both ends", text: "rbd/;copy_group=a b;p/i;tcmur_cmd_time_out=3",
            subtype: "rbd", parameters: "p/i", timeout: .seconds(3), group: "a b", cleaned: "rbd/p/i"),
        Row(
            title: "copy group and time-out at the end, either first",
            text: "rbd/p/i;copy_group=esx;tcmur_cmd_time_out=3;conf=/c", subtype: "rbd", parameters: "p/i;conf=/c",
            timeout: .seconds(3), group: "esx", cleaned: "rbd/p/i;conf=/c"),
        Row(
            title: "twice: the last group counts", text: "mem/a;copy_group=x;copy_group=y", subtype: "mem",
            parameters: "a", group: "y", cleaned: "mem/a"),
        Row(
            title: "a copy group without a separator in front belongs to the backend", text: "mem/copy_group=x",
            subtype: "mem", parameters: "copy_group=x", cleaned: "mem/copy_group=x"),
        Row(
            title: "spin in front", text: "rbd/;spin=16;p/i;conf=/c", subtype: "rbd", parameters: "p/i;conf=/c",
            spin: 16, cleaned: "rbd/p/i;conf=/c"),
        Row(
            title: "spin at the end", text: "file//a;spin=0", subtype: "file", parameters: "/a", spin: 0,
            cleaned: "file//a"),
        Row(
            title: "all options of the daemon's own", text: "rbd/p/i;spin=32;copy_group=x;tcmur_cmd_time_out=3",
            subtype: "rbd", parameters: "p/i", timeout: .seconds(3), group: "x", spin: 32, cleaned: "rbd/p/i"),
        Row(
            title: "twice: the last spin counts", text: "mem/a;spin=1;spin=2", subtype: "mem", parameters: "a",
            spin: 2, cleaned: "mem/a"),
    ]

    @Test("parts", arguments: rows)
    func parts(_ row: Row) throws {
        let configuration = try DeviceConfiguration(parsing: row.text)
        #expect(configuration.subtype == row.subtype)
        #expect(Array(configuration.parameters.utf8) == Array(row.parameters.utf8))
        #expect(configuration.commandTimeout == row.timeout)
        #expect(configuration.copyGroup == row.group)
        #expect(configuration.spinMicroseconds == row.spin)
        #expect(Array(configuration.cleaned.utf8) == Array(row.cleaned.utf8))
        #expect(DeviceConfiguration.subtype(of: row.text) == row.subtype)
    }

    @Test(
        "refused, saying the value and what was expected",
        arguments: [
            ("", #"configuration is "", expected <subtype>/<configuration>, as in rbd/pool/image"#),
            ("/p/i", #"configuration is "/p/i", expected <subtype>/<configuration>, as in rbd/pool/image"#),
            ("a/b\0c", #"configuration is "a/b\0c", expected a text without NUL bytes"#),
            ("a/b;copy_group=", #"copy_group is "", expected the name of a group"#),
            ("a/b;copy_group=;c", #"copy_group is "", expected the name of a group"#),
            ("a/b;spin=", #"spin is "", expected 0 to 32 microseconds"#),
            ("a/b;spin=33", #"spin is "33", expected 0 to 32 microseconds"#),
            ("a/b;spin=+1", #"spin is "+1", expected 0 to 32 microseconds"#),
            ("a/b;spin=off", #"spin is "off", expected 0 to 32 microseconds"#),
            ("a/b;spin=99999999999", #"spin is "99999999999", expected 0 to 32 microseconds"#),
            ("a/b;tcmur_cmd_time_out=", timeoutIs("")),
            ("a/b;tcmur_cmd_time_out=x", timeoutIs("x")),
            ("a/b;tcmur_cmd_time_out=-1", timeoutIs("-1")),
            ("a/b;tcmur_cmd_time_out=+1", timeoutIs("+1")),
            ("a/b;tcmur_cmd_time_out= 1", timeoutIs(" 1")),
            ("a/b;tcmur_cmd_time_out=4294967296", timeoutIs("4294967296")),
            ("a/b;tcmur_cmd_time_out=1\r\n2", timeoutIs(#"1\r\n2"#)),
        ])
    func refused(text: String, message: String) throws {
        let error = try #require(throws: ConfigurationError.self) { try DeviceConfiguration(parsing: text) }
        #expect(error.description == message)
    }

    static func timeoutIs(_ value: String) -> String {
        "tcmur_cmd_time_out is \"\(value)\", expected a whole number of seconds from 0 to 4294967295"
    }
}
