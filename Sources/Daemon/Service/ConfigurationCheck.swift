internal import BlockBackend
internal import Configuration
internal import DBusService
internal import FileBackend
internal import Glibc
internal import RBDBackend
internal import SystemPackage

/// What targetcli asks before it makes a backstore: would a device with this text open, and if not, why?
///
/// The original answers "success" to everything for rbd and lets the creation fail without a word. Here the same is tried
/// that opening does, but for the size, which is not in the text.
enum ConfigurationCheck {
    /// One per kind of backend; the order is that of the help texts.
    static func subtypes(_ budget: ResourceBudget = .none) -> [ServedSubtype] {
        [
            ServedSubtype(
                name: "rbd",
                description: """
                    rbd/<pool>[/<namespace>]/<image>[@<snapshot>][;osd_op_timeout=<s>][;conf=<path>][;id=<cephx id>]: a Ceph \
                    RBD image, for example rbd/rbd/disk_1. The size must be the image's.
                    """, check: { verdict($0, subtype: "rbd", budget) }),
            ServedSubtype(
                name: "file",
                description: """
                    file//<path>[;direct=on|off]: a file or block device, for example file//var/lib/disk.img. The size must be \
                    the file's.
                    """, check: { verdict($0, subtype: "file") }),
            ServedSubtype(
                name: "mem",
                description: "mem/<label>: memory of the daemon, lost with it, for example mem/scratch.",
                check: { verdict($0, subtype: "mem") }),
        ]
    }

    /// Judges a whole text for the object of `subtype`. Blocks.
    static func verdict(
        _ text: String, subtype: String, _ budget: ResourceBudget = .none
    ) -> ConfigurationVerdict {
        do throws(ConfigurationError) {
            let device = try DeviceConfiguration(parsing: text)
            guard device.subtype == subtype else {
                return .invalid(
                    "it begins with \"\(device.subtype.printable)\", expected \"\(subtype)/\": this is the object of \(subtype)"
                )
            }
            switch subtype {
            case "rbd": return try image(RBDConfiguration(parsing: device.parameters), budget)
            case "file": return try file(FileConfiguration(parsing: device.parameters))
            default:
                _ = try MemoryConfiguration(parsing: device.parameters)
                return .success
            }
        } catch {
            return .invalid(error.description)
        }
    }

    private static func image(
        _ image: RBDConfiguration, _ budget: ResourceBudget
    ) throws(ConfigurationError) -> ConfigurationVerdict {
        var options = RBDOptions(image)
        options.budget = budget
        // Within what the caller waits for, so that the reason gets there.
        options.connectTimeoutSeconds = 12
        do throws(BackendError) {
            try RBDBackend.check(options)
        } catch {
            return .invalid(error.message.printable)
        }
        guard let option = image.ignoredOptions.first else { return .success }
        return ConfigurationVerdict(
            isValid: true, text: "success; option \(option.printable) is unknown and ignored")
    }

    private static func file(_ file: FileConfiguration) -> ConfigurationVerdict {
        var facts = stat()
        guard stat(file.path, &facts) == 0 else {
            return .invalid("\(file.path.printable): \(Errno(rawValue: errno))")
        }
        let kind = facts.st_mode & S_IFMT
        guard kind == S_IFREG || kind == S_IFBLK else {
            return .invalid("\(file.path.printable): neither a file nor a block device")
        }
        guard access(file.path, R_OK | W_OK) == 0 else {
            return .invalid("\(file.path.printable): \(Errno(rawValue: errno)), expected to be read and written")
        }
        return .success
    }
}
