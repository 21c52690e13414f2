import Glibc
import Testing

@testable import Daemon

/// What the unit must say, and why; systemd itself reads it in the lab's job `systemd`.
@Suite("The systemd unit")
struct ServiceUnitTests {
    /// All values of a key, in the order of the file, split at blanks.
    private static func values(_ key: String) throws -> [String] {
        try lines().filter { $0.hasPrefix("\(key)=") }
            .flatMap { $0.dropFirst(key.count + 1).split(separator: " ").map(String.init) }
    }

    private static func lines() throws -> [Substring] {
        var path = #filePath.split(separator: "/").dropLast(3)
        path += ["systemd", "tcmud.service"]
        let file = try #require(fopen("/" + path.joined(separator: "/"), "r"))
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "\n").filter {
            !$0.hasPrefix("#")
        }
    }

    @Test("no restart where the status says that none can help, and nowhere else")
    func permanent() throws {
        let permanent = EndStatus.allCases.filter(\.isPermanent).map { "\($0.rawValue)" }
        #expect(try Self.values("RestartPreventExitStatus") == permanent)
        #expect(try Self.values("Restart") == ["always"], "systemd takes an end by SIGTERM for a wish")
        #expect(try Self.values("StartLimitIntervalSec") == ["0"], "a daemon that stays down leaves disks hanging")
    }

    @Test(
        "stopped after what stands on its disks",
        arguments: [
            "remote-fs-pre.target", "rtslib-fb-targetctl.service", "target.service", "rbd-target-api.service",
            "rbd-target-gw.service", "open-iscsi.service",
        ])
    func before(_ unit: String) throws {
        #expect(try Self.values("Before").contains(unit))
    }

    @Test(
        "stopped before what it stands on",
        arguments: [
            "network-online.target", "sys-kernel-config.mount", "ceph-osd.target", "ceph-mon.target",
            "tcmu-runner.service",
        ])
    func after(_ unit: String) throws {
        #expect(try Self.values("After").contains(unit))
    }

    @Test("remote-fs-pre.target is passive: without being wanted it orders nothing")
    func wants() throws {
        #expect(try Self.values("Wants").contains("remote-fs-pre.target"))
    }

    @Test(
        "limits that many LUNs would reach, and core files",
        arguments: [
            ("TasksMax", "infinity"), ("LimitNPROC", "infinity"), ("LimitNOFILE", "1048576"),
            ("LimitMEMLOCK", "infinity"),
            ("LimitCORE", "0"), ("OOMScoreAdjust", "-1000"), ("KillMode", "mixed"), ("NoNewPrivileges", "yes"),
        ])
    func limits(_ key: String, _ value: String) throws {
        #expect(try Self.values(key) == [value])
    }

    @Test(
        "what would take from it what it needs",
        arguments: [
            "PrivateDevices", "ProtectKernelTunables", "ProtectKernelModules", "ProtectHome", "PrivateTmp",
            "ProtectClock",
            "PrivateNetwork", "DynamicUser", "User", "RestartSteps", "RestartMaxDelaySec",
        ])
    func absent(_ key: String) throws {
        #expect(try Self.values(key).isEmpty)
    }

    @Test(
        "systemd has nothing to say about it, whatever is beside it in a boot",
        .enabled(if: access("/usr/bin/systemd-analyze", X_OK) == 0, "no systemd-analyze here"))
    func verified() throws {
        let tree = KernelTree()
        let beside =
            "rbd-target-api.service rbd-target-gw.service rtslib-fb-targetctl.service open-iscsi.service ceph.target"
        tree.write("[Unit]\nWants=tcmud.service multi-user.target remote-fs.target \(beside)\n", to: "boot.target")
        let unit = try Self.lines().map { $0.hasPrefix("ExecStart=") ? "ExecStart=/bin/true" : $0 }
        tree.write(unit.joined(separator: "\n"), to: "tcmud.service")
        let said = "\(tree.path)/said"
        // Its own status says as much of the units beside it, which are the machine's.
        _ = system(
            "timeout 120 systemd-analyze verify '\(tree.path)/boot.target' '\(tree.path)/tcmud.service' > '\(said)' 2>&1"
        )
        #expect(!tree.read("said").contains("tcmud"), "\(tree.read("said"))")
    }

    @Test("the daemon's own bounds are below systemd's")
    func bounds() throws {
        // Three times the limit of a stop, and half as much again for devices that hang (DeviceTable.stopAll).
        let stop = try #require(try Self.values("TimeoutStopSec").first.flatMap(Int.init))
        #expect(stop >= 10 * 3 + 10 * 3 / 2 + 15)
        // The longest pause between starts, and the patience with images.
        let start = try #require(try Self.values("TimeoutStartSec").first.flatMap(Int.init))
        #expect(start >= 30 + 5 + 15)
    }
}
