import KernelFiles
import RBDBackend
import SystemPackage
import TCMURing
import Testing

@testable import Configuration
@testable import Daemon

@Suite("Files of luns.d when a device is opened")
struct LUNSettingsTests {
    private func open(_ configuration: String, _ files: [String: String]) throws -> OpenFailure {
        let tree = KernelTree()
        tree.add(SimulatedDevice(7, configuration))
        for (name, text) in files { tree.write(text, to: "luns.d/\(name)") }
        let node = try UIONode(minor: 7, sysfs: tree.configuration.sysfsRoot)
        // There is no ring in the node, so the best end is that it cannot be mapped.
        guard
            case .failure(let failure) = DeviceOpening(service: tree.configuration).open(
                node, try emptyClaim(node, in: tree), report: { _ in })
        else {
            throw Errno.fileExists
        }
        return OpenFailure(
            errno: failure.errno,
            message: failure.message.split(separator: tree.path, omittingEmptySubsequences: false).joined(
                separator: "…"))
    }

    @Test("a file that cannot be used fails its LUN, by either name, before the backend is opened")
    func broken() throws {
        for lun in ["mem/a", "disk7"] {
            let failure = try open("mem/a;x=y", ["a.yaml": "lun: \(lun)\ncolour: blue"])
            #expect(failure.errno == .invalidArgument)
            #expect(failure.message.hasPrefix("…/luns.d/a.yaml:2: colour is no key"), "\(failure.message)")
        }
    }

    @Test("a name that two HBAs have is nobody's: neither gets the other's settings")
    func namesakes() throws {
        let tree = KernelTree()
        let device = SimulatedDevice(7, "mem/a")
        tree.add(device)
        tree.write("512\n", to: "config/target/core/user_2/disk7/attrib/hw_block_size")
        let node = try UIONode(minor: 7, sysfs: tree.configuration.sysfsRoot)
        func message(_ lun: String) throws -> String {
            tree.write("lun: \(lun)\nread_only: true", to: "luns.d/a.yaml")
            guard
                case .failure(let failure) = DeviceOpening(service: tree.configuration).open(
                    node, try emptyClaim(node, in: tree), report: { _ in })
            else { throw Errno.fileExists }
            return failure.message
        }
        #expect(try message("disk7").contains("lun: disk7 names two LUNs, user_1/disk7 and user_2/disk7"))
        // Its own, and so refused for what it asks of a mem LUN.
        #expect(try message("user_1/disk7").contains("read_only, encryption and lock are for rbd"))
        #expect(try message("user_2/disk7").hasPrefix("cannot map"), "the other one's")
    }

    @Test("another LUN's broken file does no harm")
    func other() throws {
        let failure = try open("mem/a", ["a.yaml": "lun: mem/b\ncolour: blue", "b.yaml": "garbage"])
        #expect(failure.message.hasPrefix("cannot map"), "\(failure.message)")
    }

    @Test(
        "what a backend does not have is refused, not ignored",
        arguments: ["read_only: true", "lock:\n  hold_milliseconds: 1"])
    func notForFiles(text: String) throws {
        let failure = try open("mem/a", ["a.yaml": "lun: mem/a\n\(text)"])
        #expect(failure.errno == .invalidArgument)
        #expect(failure.message.contains("are for rbd; the LUN is mem/a"), "\(failure.message)")
        let allowed = try open("mem/a", ["a.yaml": "lun: mem/a\nportal_group_disable: true"])
        #expect(allowed.message.hasPrefix("cannot map"), "\(allowed.message)")
    }

    @Test("an image takes all of it over")
    func image() {
        var settings = LUNSettings()
        var options = RBDOptions(pool: "p", image: "i")
        options.apply(settings)
        #expect(options == RBDOptions(pool: "p", image: "i"))
        settings.readOnly = true
        settings.lockHoldMilliseconds = 250
        settings.lockIdleSeconds = 60
        for (format, expected) in [
            (LUNSettings.Encryption.Format.luks1, ImageEncryption.Format.luks1), (.luks2, .luks2),
        ] {
            settings.encryption = LUNSettings.Encryption(format: format, passphraseFile: "/key")
            options.apply(settings)
            #expect(options.readOnly && options.lockHoldMilliseconds == 250)
            #expect(options.lockIdleReleaseMilliseconds == 60_000)
            #expect(options.encryption == ImageEncryption(expected, passphraseFile: "/key"))
        }
    }

    @Test("the log's configuration text is without secrets")
    func secrets() {
        #expect(
            DeviceConfiguration.withoutSecrets("rbd/p/i;id=gw;passphrase=a=b;key;secret=x")
                == "rbd/p/i;id=gw;passphrase=…;key;secret=…")
        #expect(DeviceConfiguration.withoutSecrets("") == "")
    }
}
