import Configuration
import Testing

@Suite("Configuration of the backends")
struct BackendConfigurationTests {
    /// The parts of an RBD configuration in the order of the text, for one-line rows.
    static func parts(_ configuration: RBDConfiguration) -> [String?] {
        [
            configuration.pool, configuration.namespace, configuration.image, configuration.snapshot,
            configuration.operationTimeout.map { "\($0)" }, configuration.configurationFile, configuration.user,
        ]
    }

    @Test(
        "rbd images",
        arguments: [
            ("pool/image", ["pool", nil, "image", nil, nil, nil, nil]),
            ("pool/ns/image", ["pool", "ns", "image", nil, nil, nil, nil]),
            ("pool/image@snap", ["pool", nil, "image", "snap", nil, nil, nil]),
            ("po@ol/ns/image@snap", ["po@ol", "ns", "image", "snap", nil, nil, nil]),
            ("p/i;osd_op_timeout=30", ["p", nil, "i", nil, "30", nil, nil]),
            ("p/i;osd_op_timeout=0", ["p", nil, "i", nil, "0", nil, nil]),
            (
                "p/i;osd_op_timeout=30;conf=/etc/ceph/b.conf;id=gw",
                ["p", nil, "i", nil, "30", "/etc/ceph/b.conf", "gw"]
            ),
            ("p/i;id=a=b;;conf=c;", ["p", nil, "i", nil, nil, "c", "a=b"]),
            ("p/i;id=a;id=b", ["p", nil, "i", nil, nil, nil, "b"]),
            ("p/i;", ["p", nil, "i", nil, nil, nil, nil]),
            // As the original: separators in front of a name are skipped.
            ("/p/i", ["p", nil, "i", nil, nil, nil, nil]), ("///p/i;id=a", ["p", nil, "i", nil, nil, nil, "a"]),
            ("/p/ns/i@s", ["p", "ns", "i", "s", nil, nil, nil]), ("p/;i", ["p", nil, "i", nil, nil, nil, nil]),
            ("/p/;;i;;conf=c;;", ["p", nil, "i", nil, nil, "c", nil]),
            ("p/i;conf=/a//b;osd_op_timeout=40", ["p", nil, "i", nil, "40", "/a//b", nil]),
        ] as [(String, [String?])])
    func rbd(text: String, expected: [String?]) throws {
        let configuration = try RBDConfiguration(parsing: text)
        #expect(Self.parts(configuration) == expected)
        #expect(configuration.ignoredOptions == [])
    }

    @Test("an rbd connection group, and options for Ceph's client")
    func clientOptions() throws {
        let text = "p/i;rbd_non_blocking_aio=false;connection_group=a;ms_async_op_threads=1;ms_async_op_threads=4"
        let configuration = try RBDConfiguration(parsing: text)
        #expect(configuration.connectionGroup == "a")
        #expect(configuration.clientSettings == ["rbd_non_blocking_aio": "false", "ms_async_op_threads": "4"])
        #expect(configuration.ignoredOptions == [])
        let plain = try RBDConfiguration(parsing: "p/i;rbd_cache=true")
        #expect(plain.connectionGroup == nil)
        #expect(plain.clientSettings == [:])
        #expect(plain.ignoredOptions == ["rbd_cache=true"], "what would break a promise of the unit cannot be set")
    }

    @Test(
        "how an rbd image is reached is no part of its identity",
        arguments: [
            ("p/i", "p/i"), ("p/i;", "p/i;"), ("p/i;osd_op_timeout=30;;x=y;", "p/i;osd_op_timeout=30;;x=y;"),
            ("p/i;connection_group=a", "p/i"), ("p/i;connection_group=a;id=b", "p/i;id=b"),
            ("p/i;id=b;rbd_non_blocking_aio=false;conf=c;ms_async_op_threads", "p/i;id=b;conf=c"),
            ("connection_group=a", "connection_group=a"), ("p/i;connection_groups=a", "p/i;connection_groups=a"),
        ])
    func identity(parameters: String, expected: String) throws {
        #expect(RBDConfiguration.identity(of: parameters) == expected)
        #expect(try DeviceConfiguration(parsing: "rbd/\(parameters)").cleaned == "rbd/\(expected)")
        #expect(try DeviceConfiguration(parsing: "rbd/\(parameters)").parameters == parameters)
        #expect(try DeviceConfiguration(parsing: "mem/\(parameters)").cleaned == "mem/\(parameters)")
    }

    @Test(
        "an image is known by one name in files about it, and by its text in VPD page 83h",
        arguments: [
            ("rbd//p/i;id=a", "rbd/p/i"), ("rbd/p/;i;conf=c", "rbd/p/i"), ("rbd/p/i", "rbd/p/i"),
            ("file//a", "file//a"),
            ("rbd/;tcmur_cmd_time_out=3;/p/i", "rbd/p/i"),
        ])
    func oneName(text: String, identity: String) throws {
        let device = try DeviceConfiguration(parsing: text)
        #expect(device.identity == identity)
        if !text.contains("tcmur") { #expect(device.cleaned == text) }
    }

    @Test("options rbd does not know are handed back, not refused")
    func ignored() throws {
        let configuration = try RBDConfiguration(parsing: "p/i;idx=3;osd_op_timeouts=1;ro;conf=c")
        #expect(configuration.ignoredOptions == ["idx=3", "osd_op_timeouts=1", "ro"])
        #expect(configuration.configurationFile == "c")
    }

    @Test(
        "rbd texts that are refused",
        arguments: [
            ("", #"image is "", expected <pool>[/<namespace>]/<image>[@<snapshot>]"#),
            ("pool", #"image is "pool", expected <pool>[/<namespace>]/<image>[@<snapshot>]"#),
            ("a/b/c/d", #"image is "a/b/c/d", expected <pool>[/<namespace>]/<image>[@<snapshot>]"#),
            ("/image", #"image is "image", expected <pool>[/<namespace>]/<image>[@<snapshot>]"#),
            ("p;conf=/a/b", #"image is "p", expected <pool>[/<namespace>]/<image>[@<snapshot>]"#),
            ("p/", #"image of p/ is "", expected <pool>[/<namespace>]/<image>[@<snapshot>]"#),
            ("p//i", #"namespace of p//i is "", expected <pool>[/<namespace>]/<image>[@<snapshot>]"#),
            ("p/@s", #"image of p/@s is "", expected <pool>[/<namespace>]/<image>[@<snapshot>]"#),
            ("p/i@", #"snapshot of p/i@ is "", expected <pool>[/<namespace>]/<image>[@<snapshot>]"#),
            ("p/i@a@b", #"image is "i@a@b", expected at most one @<snapshot>"#),
            ("p/i;osd_op_timeout=", #"osd_op_timeout is "", expected a whole number of seconds"#),
            ("p/i;osd_op_timeout", #"osd_op_timeout is "", expected a whole number of seconds"#),
            (
                "p/i;osd_op_timeout=ten",
                #"osd_op_timeout is "ten", expected a whole number of seconds from 0 to 4294967295"#
            ),
            ("p/i;conf=", #"conf is "", expected the path of a ceph.conf"#),
            ("p/i;connection_group=", #"connection_group is "", expected the name of a group"#),
            ("p/i;librados_thread_count=200000", #"librados_thread_count is "200000", expected 1 to 24 threads"#),
            ("p/i;ms_async_op_threads=0", #"ms_async_op_threads is "0", expected 1 to 24 threads"#),
            ("p/i;ms_async_op_threads=-1", #"ms_async_op_threads is "-1", expected 1 to 24 threads"#),
            ("p/i;rbd_non_blocking_aio", #"rbd_non_blocking_aio is "", expected a value that Ceph takes"#),
            ("p/i;conf=x;id=", #"id is "", expected a cephx name without the client. in front"#),
        ])
    func rbdRefused(text: String, message: String) throws {
        let error = try #require(throws: ConfigurationError.self) { try RBDConfiguration(parsing: text) }
        #expect(error.description == message)
    }

    @Test(
        "files",
        arguments: [
            ("/a/b", "/a/b", false), ("/a/b;direct=on", "/a/b", true), ("/a/b;direct=off", "/a/b", false),
            ("/a b;", "/a b", false), ("/dev/sdb;direct=off;direct=on", "/dev/sdb", true),
        ])
    func file(text: String, path: String, direct: Bool) throws {
        let configuration = try FileConfiguration(parsing: text)
        #expect(configuration.path == path)
        #expect(configuration.direct == direct)
    }

    @Test(
        "file texts that are refused",
        arguments: [
            ("", #"path is "", expected an absolute path, as in file//var/lib/image"#),
            ("a/b", #"path is "a/b", expected an absolute path, as in file//var/lib/image"#),
            ("/", #"path is "/", expected an absolute path, as in file//var/lib/image"#),
            (";/a", #"path is "", expected an absolute path, as in file//var/lib/image"#),
            ("/a;direct", #"direct is "", expected on or off"#),
            ("/a;direct=yes", #"direct is "yes", expected on or off"#),
            ("/a;b", #"option is "b", expected direct=on|off"#),
        ])
    func fileRefused(text: String, message: String) throws {
        let error = try #require(throws: ConfigurationError.self) { try FileConfiguration(parsing: text) }
        #expect(error.description == message)
    }

    @Test("memory")
    func memory() throws {
        #expect(try MemoryConfiguration(parsing: "a/b c").label == "a/b c")
        for text in ["", "a;direct=on"] {
            let error = try #require(throws: ConfigurationError.self) { try MemoryConfiguration(parsing: text) }
            #expect(error.description == "label is \"\(text)\", expected a name without options, as in mem/a")
        }
    }

    @Test("the defaults of the service")
    func service() {
        let configuration = ServiceConfiguration()
        #expect((1...4).contains(configuration.loopThreads))
        #expect(configuration.openTimeout == .seconds(25))
        #expect(configuration.netlinkReceiveBuffer == 4_194_304)
        #expect("\(configuration.lockFile)" == "/run/tcmu.lock")
        #expect("\(configuration.configFSRoot)" == "/sys/kernel/config")
    }
}
