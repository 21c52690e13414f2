import Glibc
import Testing

/// What `make install` does with a program that is built, into a folder.
@Suite("Installation")
struct InstallTests {
    private static let script =
        "/" + (#filePath.split(separator: "/").dropLast(3) + ["systemd", "install"]).joined(separator: "/")

    /// Runs it in `tree`. Returns whether it succeeded.
    private static func install(_ tree: KernelTree, prefix: String, compat: Bool = false) -> Bool {
        tree.write("program", to: "tcmud")
        return system(
            "'\(script)' '\(tree.path)/tcmud' '\(prefix)' '\(tree.path)/root' \(compat ? 1 : 0) > /dev/null 2>&1")
            == 0
    }

    @Test(
        "program, unit and policy are where the prefix says, and the unit starts that program",
        arguments: [
            ("/usr", "usr/share/dbus-1/system.d"), ("/usr/local", "etc/dbus-1/system.d"),
            ("/opt/tcmud", "etc/dbus-1/system.d"),
        ])
    func prefix(_ prefix: String, _ policies: String) {
        let tree = KernelTree()
        #expect(Self.install(tree, prefix: prefix))
        #expect(access("\(tree.path)/root\(prefix)/bin/tcmud", X_OK) == 0)
        let unit = tree.read("root\(prefix)/lib/systemd/system/tcmud.service")
        #expect(unit.contains("\nExecStart=\(prefix)/bin/tcmud\n"))
        #expect(access("\(tree.path)/root/\(policies)/org.kernel.TCMUService1.conf", R_OK) == 0)
    }

    @Test("another package's tcmu-runner stays, and nothing is installed by half")
    func compat() {
        let tree = KernelTree()
        tree.write("theirs", to: "root/usr/bin/tcmu-runner")
        #expect(!Self.install(tree, prefix: "/usr", compat: true))
        #expect(tree.read("root/usr/bin/tcmu-runner") == "theirs")
        #expect(access("\(tree.path)/root/usr/bin/tcmud", F_OK) != 0)
        unlink("\(tree.path)/root/usr/bin/tcmu-runner")
        #expect(Self.install(tree, prefix: "/usr", compat: true))
        #expect(Self.install(tree, prefix: "/usr", compat: true), "our own link may be there already")
    }

    @Test("the bus starts nothing: whatever a policy says, any user may ask it to start what has a file")
    func activation() {
        let tree = KernelTree()
        let file = "root/usr/share/dbus-1/system-services/org.kernel.TCMUService1.service"
        tree.write("[D-BUS Service]\nSystemdService=tcmud.service\n", to: file)
        #expect(Self.install(tree, prefix: "/usr"))
        #expect(access("\(tree.path)/\(file)", F_OK) != 0, "that of an earlier version is removed")
    }
}
