public import SystemPackage

/// Which TCMU device a UIO node belongs to, as its name says: `tcm-user/<hba>/<device>[/<dev_config>]`.
///
/// The netlink events carry the same text.
public struct UIODeviceName: Equatable, Sendable {
    /// Number of the HBA: n of `user_<n>` in configfs.
    public let hba: UInt32
    /// The device's name in configfs: one path component.
    public let device: String
    /// The text the device was configured with; may hold slashes, is empty if there is none.
    public let configuration: String

    /// Parses a node's name.
    ///
    /// - Throws: ``UIONodeError/Reason/foreign`` for a node of another driver, malformed for one of TCMU's that does
    ///   not have the form above.
    public init(parsing name: String) throws(UIONodeError.Reason) {
        // Bytes, not Characters: a combining accent would glue itself to the slash before it.
        let parts = name.utf8.split(separator: UInt8(ascii: "/"), maxSplits: 3, omittingEmptySubsequences: false)
        guard parts[0].elementsEqual("tcm-user".utf8), parts.count > 1 else { throw .foreign }
        // Without the configuration text: it may hold what is nobody's business, and errors go into the log.
        let beginning = parts.prefix(3).map { String(Substring($0)) }.joined(separator: "/")
        let malformed = UIONodeError.Reason.malformed(
            value: beginning, expected: "tcm-user/<hba>/<device>[/<dev_config>]")
        guard parts.count > 2, parts[1].first != UInt8(ascii: "+"), let hba = UInt32(Substring(parts[1])) else {
            throw malformed
        }
        let device = String(Substring(parts[2]))
        guard !device.isEmpty, device != ".", device != "..", !name.utf8.contains(0) else { throw malformed }
        self.hba = hba
        self.device = device
        configuration = parts.count > 3 ? String(Substring(parts[3])) : ""
    }
}

/// A UIO node of the kernel that could not be used, and why.
public struct UIONodeError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Why a node is no use.
    public enum Reason: Error, Equatable, Sendable {
        /// The node belongs to another driver.
        case foreign
        /// One of its files could not be read; ENOENT if the node has gone meanwhile.
        case unreadable(Errno)
        /// One of its files holds something the kernel never puts there.
        case malformed(value: String, expected: String)
    }

    /// The file, from the root.
    public let path: String
    /// What is wrong with it.
    public let reason: Reason

    /// One line with the path, the value and what was expected.
    public var description: String {
        switch reason {
        case .foreign: "\(path) is not a device of TCMU"
        case .unreadable(let errno): "cannot read \(path): \(errno)"
        case .malformed(let value, let expected): "\(path) holds \(value.debugDescription), expected \(expected)"
        }
    }
}

/// A UIO node of TCMU as sysfs describes it (`/sys/class/uio/uio<minor>`).
public struct UIONode: Equatable, Sendable {
    /// n of `/dev/uio<n>`.
    public let minor: UInt32
    /// Whose node it is.
    public let name: UIODeviceName
    /// Size in bytes of map 0, the ring and the data area. The kernel takes a mapping of exactly this size and no other.
    public let mapSize: Int
    /// The ring's version as the driver names it: "2".
    public let version: String

    /// `uio<minor>`, the node's name in /dev and in sysfs.
    public var nodeName: String { "uio\(minor)" }

    /// Reads the description of one node.
    public init(minor: UInt32, sysfs: FilePath) throws(UIONodeError) {
        let directory = Self.classDirectory(sysfs).appending("uio\(minor)")
        self.minor = minor
        let nameFile = directory.appending("name")
        do {
            name = try UIODeviceName(parsing: try attribute(nameFile))
        } catch {
            throw UIONodeError(path: nameFile.string, reason: error)
        }
        let sizeFile = directory.appending("maps/map0/size")
        do {
            mapSize = try Self.size(try attribute(sizeFile))
        } catch {
            throw UIONodeError(path: sizeFile.string, reason: error)
        }
        let versionFile = directory.appending("version")
        do {
            version = try attribute(versionFile)
        } catch {
            throw UIONodeError(path: versionFile.string, reason: error)
        }
    }

    /// What a look at all UIO nodes found.
    public struct Scan: Equatable, Sendable {
        /// TCMU's nodes by minor.
        public var nodes: [UIONode] = []
        /// Those that could not be used, each worth a line in the log.
        public var rejected: [UIONodeError] = []
        /// Minors of all UIO nodes there are, also of those that could not be read: they have not gone.
        public var listed: Set<UInt32> = []
    }

    /// Looks at all UIO nodes. Those of other drivers are passed over, and so are those that vanish meanwhile.
    ///
    /// - Throws: if the class's directory cannot be listed; none at all (uio is not loaded) is an empty scan.
    public static func scan(sysfs: FilePath) throws(UIONodeError) -> Scan {
        let directory = classDirectory(sysfs)
        let names: [String]
        do {
            names = try DirectoryReader.names(in: directory)
        } catch {
            if error == .noSuchFileOrDirectory { return Scan() }
            throw UIONodeError(path: directory.string, reason: .unreadable(error))
        }
        let minors = names.compactMap { name in
            UInt32(Substring(name.utf8.dropFirst(3))).flatMap { name == "uio\($0)" ? $0 : nil }
        }
        var scan = Scan()
        scan.listed = Set(minors)
        for minor in minors.sorted() {
            do {
                scan.nodes.append(try UIONode(minor: minor, sysfs: sysfs))
            } catch {
                switch error.reason {
                case .foreign, .unreadable(.noSuchFileOrDirectory): break
                case .unreadable, .malformed: scan.rejected.append(error)
                }
            }
        }
        return scan
    }

    private static func classDirectory(_ sysfs: FilePath) -> FilePath { sysfs.appending("class/uio") }

    /// A size as sysfs prints it: hexadecimal, with `0x` in front.
    static func size(_ text: String) throws(UIONodeError.Reason) -> Int {
        let digits = text.utf8.starts(with: "0x".utf8) ? text.utf8.dropFirst(2) : text.utf8[...]
        guard digits.first != UInt8(ascii: "+"), let size = Int(Substring(digits), radix: 16), size > 0 else {
            throw .malformed(value: text, expected: "a size in hexadecimal, as in 0x805000")
        }
        return size
    }
}

/// A sysfs file as text without the line break at its end.
private func attribute(_ path: FilePath) throws(UIONodeError.Reason) -> String {
    do {
        // Bound: an attribute of sysfs is at most one page.
        let text = try SmallFile.prefix(of: path, 65536)
        return String(decoding: text.last == UInt8(ascii: "\n") ? text.dropLast() : text[...], as: UTF8.self)
    } catch {
        throw .unreadable(error)
    }
}
