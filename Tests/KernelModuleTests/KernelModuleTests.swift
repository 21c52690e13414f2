import Glibc
import SystemPackage
import Testing

@testable import KernelModule

@Suite("Kernel module")
struct KernelModuleTests {
    @Test(
        "what sysfs says of a module",
        arguments: [
            ([], nil), (["initstate", "uevent", "parameters"], .alreadyPresent),
            (["uevent", "parameters"], .builtIn),
            (["parameters"], .builtIn), (["version"], .builtIn), (["unrelated"], nil),
        ] as [([String], KernelModule.Outcome?)])
    func presence(files: [String], outcome: KernelModule.Outcome?) throws {
        let tree = Tree()
        for file in files { tree.write("", to: "module/m/\(file)") }
        let module = KernelModule("m", sysfs: FilePath(tree.path), modulesDirectory: FilePath("\(tree.path)/none"))
        #expect(module.present == outcome)
        if let outcome { #expect(try module.load() == outcome) }
    }

    @Test(
        "a container without the modules' directory, or with an empty one, is told what is missing",
        arguments: [true, false])
    func notInstalled(exists: Bool) throws {
        let tree = Tree()
        tree.write("ID=debian\n", to: "os-release")
        if exists { tree.write("", to: "modules/modules.dep") }
        let module = KernelModule(
            "target_core_user", sysfs: FilePath("\(tree.path)/sys"),
            modulesDirectory: FilePath("\(tree.path)/modules"),
            osRelease: FilePath("\(tree.path)/os-release"))
        let error = try #require(throws: KernelModuleError.self) { try module.load() }
        #expect(error.reason == .notInstalled)
        #expect(error.kernelRelease == KernelRelease.running)
        #expect(!error.kernelRelease.isEmpty)
        #expect(
            error.description == "kernel module target_core_user is not installed for the running kernel "
                + "\(error.kernelRelease): apt install linux-image-amd64 (or -cloud-amd64, -arm64), then boot that kernel"
        )
    }

    @Test("a module on the blacklist is left alone", .enabled(if: modules != nil))
    func blacklisted() throws {
        let tree = Tree()
        tree.write("blacklist target_core_user\n", to: "modprobe.d/local.conf")
        let module = KernelModule(
            "target_core_user", sysfs: FilePath("\(tree.path)/sys"), modulesDirectory: modules,
            configurationDirectory: FilePath("\(tree.path)/modprobe.d"))
        let error = try #require(throws: KernelModuleError.self) { try module.load() }
        #expect(error.reason == .blacklisted)
        #expect(error.description.contains("modprobe's blacklist"))
    }

    @Test(
        "where modules come from",
        arguments: [
            ("ID=ubuntu\nID_LIKE=debian\n", "apt install linux-modules-extra-6.1"),
            ("PRETTY_NAME=\"x\"\nID=raspbian\nID_LIKE=debian", "apt install linux-image-amd64"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install kernel-modules-6.1"),
            ("ID='opensuse-leap'\nID_LIKE='suse opensuse'", "zypper install kernel-default"),
            ("ID=arch", "pacman -S linux"), ("ID=alpine", "apk add linux-lts"),
            ("ID=nixos", "boot a kernel built with CONFIG_TCM_USER2=m"),
            ("", "boot a kernel built with CONFIG_TCM_USER2=m"), ("=\nID\n==", "boot a kernel"),
        ])
    func advice(osRelease: String, beginning: String) {
        #expect(Distribution(osRelease: osRelease).advice(kernelRelease: "6.1").hasPrefix(beginning))
    }

    @Test(
        "each reason in one line",
        arguments: [
            (.blacklisted, "remove it from /etc/modprobe.d"), (.notPermitted, "run as root"),
            (.failed(.noMemory), "Cannot allocate memory"), (.notInstalled, "is not installed"),
        ] as [(KernelModuleError.Reason, String)])
    func reasons(reason: KernelModuleError.Reason, words: String) {
        let error = KernelModuleError(
            module: "m", kernelRelease: "6.1", reason: reason, distribution: Distribution(osRelease: ""))
        #expect(error.description.contains(words))
        #expect(!error.description.contains("\n"))
    }
}

/// A directory of real modules with their index, wherever a kernel package has left one; nothing of it is loaded.
private let modules: FilePath? = ["/usr/lib/uml/modules", "/lib/modules"].lazy.flatMap { root -> [FilePath] in
    guard let stream = opendir(root) else { return [] }
    defer { closedir(stream) }
    var found: [FilePath] = []
    while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        let module = "\(root)/\(name)/kernel/drivers/target/target_core_user.ko"
        if name != "..", access(module, F_OK) == 0, access("\(root)/\(name)/modules.dep.bin", F_OK) == 0 {
            found.append(FilePath("\(root)/\(name)"))
        }
    }
    return found
}.first

/// A directory of files that is gone with its owner.
private final class Tree {
    let path: String
    private var made: [String] = []

    init() {
        var template = Array("/tmp/module-test-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { name in
            guard let start = name.baseAddress, mkdtemp(start) != nil else { return "" }
            return String(cString: start)
        }
        precondition(!path.isEmpty, "no directory for the test")
        made.append(path)
    }

    deinit { for path in made.reversed() { remove(path) } }

    func write(_ text: String, to name: String) {
        var file = path
        for part in name.split(separator: "/").dropLast() {
            file += "/\(part)"
            if mkdir(file, 0o755) == 0 { made.append(file) }
        }
        guard let stream = fopen("\(path)/\(name)", "w") else { preconditionFailure("cannot write \(name)") }
        fputs(text, stream)
        fclose(stream)
        made.append("\(path)/\(name)")
    }
}
