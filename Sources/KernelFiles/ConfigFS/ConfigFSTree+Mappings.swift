import Glibc
import SystemPackage

/// How fabrics offer a device to initiators.
extension ConfigFSTree {
    /// Whether some initiator may read a device and not write it: it has a mapped LUN with `write_protect`, or would get one
    /// by logging in to a portal group that gives every initiator all LUNs (`generate_node_acls`) in this manner
    /// (`demo_mode_write_protect`).
    ///
    /// Every fabric is looked at the same way. One without `attrib/demo_mode_write_protect` (loopback, vhost, …) gives
    /// everybody LUNs for writing. What `prod_mode_write_protect` says shows in the mapped LUNs that it was there for.
    ///
    /// A session that was opened while `demo_mode_write_protect` was on keeps its LUNs read-only when that is switched off;
    /// the kernel shows that nowhere.
    ///
    /// - Throws: if anything there cannot be read. What goes meanwhile is taken as gone.
    public func hasReadOnlyMapping(of backstore: Backstore) throws(KernelFileError) -> Bool {
        for (group, units) in try offers(of: backstore) {
            if try givesReadOnly(group) { return true }
            for mapped in try mappings(of: units, in: group)
            where try isSet(mapped.appending("write_protect")) { return true }
        }
        return false
    }

    /// How many sessions initiators have open through which they reach a device, as far as the kernel tells: those of
    /// initiators without an entry in `acls`, one for each entry that has any, and the nexus of fabrics that have but one.
    public func sessions(of backstore: Backstore) throws(KernelFileError) -> Int {
        var count = 0
        for (group, units) in try offers(of: backstore) {
            count += try bytes(group.appending("dynamic_sessions")).split { $0 == 0 || $0 == UInt8(ascii: "\n") }
                .count
            if try !bytes(group.appending("nexus")).isEmpty { count += 1 }
            for mapped in try mappings(of: units, in: group) {
                let info = try bytes(mapped.removingLastComponent().appending("info"))
                if !info.isEmpty, !info.starts(with: "No active".utf8) { count += 1 }
            }
        }
        return count
    }

    /// Every portal group of every fabric that offers a device, and the names of the LUNs that are it.
    private func offers(of backstore: Backstore) throws(KernelFileError) -> [(group: FilePath, units: Set<String>)]
    {
        var offers: [(group: FilePath, units: Set<String>)] = []
        let place = [backstore.name.hbaDirectory, backstore.name.name]
        for fabric in try present(root) where fabric != "core" {
            for target in try present(root.appending(fabric)) {
                let directory = root.appending(fabric).appending(target)
                for group in try present(directory) where group.utf8.starts(with: "tpgt_".utf8) {
                    let path = directory.appending(group)
                    var units: Set<String> = []
                    for unit in try present(path.appending("lun")) {
                        let links = try links(in: path.appending("lun").appending(unit))
                        if links.contains(where: { $0.suffix(2) == place[...] }) { units.insert(unit) }
                    }
                    if !units.isEmpty { offers.append((path, units)) }
                }
            }
        }
        return offers
    }

    /// The mapped LUNs of a portal group, of all its initiators, that lead to one of `units`.
    private func mappings(of units: Set<String>, in group: FilePath) throws(KernelFileError) -> [FilePath] {
        var mappings: [FilePath] = []
        for initiator in try present(group.appending("acls")) {
            let list = group.appending("acls").appending(initiator)
            for mapped in try present(list) where mapped.utf8.starts(with: "lun_".utf8) {
                let directory = list.appending(mapped)
                if try links(in: directory).contains(where: { units.contains($0.last ?? "") }) {
                    mappings.append(directory)
                }
            }
        }
        return mappings
    }

    /// Whether initiators without an entry in `acls` get their LUNs read-only, and there can be such.
    private func givesReadOnly(_ group: FilePath) throws(KernelFileError) -> Bool {
        let attributes = group.appending("attrib")
        guard try isSet(attributes.appending("demo_mode_write_protect")) else { return false }
        if try isSet(attributes.appending("generate_node_acls")) { return true }
        // Those that came while it was on are still there.
        return try !(bytes(group.appending("dynamic_sessions")).isEmpty)
    }

    // MARK: - What may go while it is looked at

    /// The names in a directory; none where it is not there (any longer), or is a file.
    func present(_ directory: FilePath) throws(KernelFileError) -> [String] {
        do throws(KernelFileError) {
            return try directoryEntries(directory)
        } catch {
            switch error.reason {
            case .unreadable(.noSuchFileOrDirectory), .unreadable(.notDirectory): return []
            default: throw error
            }
        }
    }

    private func bytes(_ path: FilePath) throws(KernelFileError) -> [UInt8] {
        do throws(KernelFileError) {
            return try AttributeFile(path: path).bytes()
        } catch {
            switch error.reason {
            // ENODEV: a nexus that has not been made.
            case .unreadable(.noSuchFileOrDirectory), .unreadable(.operationNotSupportedByDevice): return []
            default: throw error
            }
        }
    }

    /// Whether an attribute is there and 1. One of a mapped LUN that is just being made is empty.
    private func isSet(_ path: FilePath) throws(KernelFileError) -> Bool {
        try bytes(path).first == UInt8(ascii: "1")
    }

    /// Where the links in a directory lead, in components.
    private func links(in directory: FilePath) throws(KernelFileError) -> [[String]] {
        try present(directory).compactMap { link($0, in: directory) }
    }

    private func link(_ name: String, in directory: FilePath) -> [String]? {
        // Bound: PATH_MAX.
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return nil }
            let count = readlink(
                directory.appending(name).string, start.assumingMemoryBound(to: CChar.self), buffer.count)
            guard count > 0 else { return nil }
            return String(decoding: buffer.prefix(count), as: UTF8.self).unicodeScalars.split(separator: "/")
                .map(String.init)
        }
    }
}
