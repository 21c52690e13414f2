import CKmod
import Glibc
import SystemPackage

/// What libkmod made of a request.
enum InsertionAttempt: Equatable {
    case inserted
    case blacklisted
    /// No module of that name is installed for the running kernel, or none at all.
    case unknown
    case failed(Errno)
}

extension KernelModule {
    /// Loads the module and what it depends on, as modprobe with `-b` does.
    func insert() -> InsertionAttempt {
        guard let context = makeContext() else { return .failed(.noMemory) }
        defer { kmod_unref(context) }
        // libkmod writes to stderr by itself; we have our own words. 0 is LOG_EMERG, which it never uses.
        kmod_set_log_priority(context, 0)

        var list: OpaquePointer?
        let found = kmod_module_new_from_lookup(context, name, &list)
        guard found >= 0 else { return found == -ENOENT ? .unknown : .failed(Errno(rawValue: -found)) }
        guard let list else { return .unknown }
        defer { kmod_module_unref_list(list) }

        var entry: OpaquePointer? = list
        while let current = entry {
            guard let module = kmod_module_get_module(current) else { return .failed(.noMemory) }
            defer { kmod_module_unref(module) }
            let result = kmod_module_probe_insert_module(
                module, UInt32(KMOD_PROBE_APPLY_BLACKLIST.rawValue), nil, nil, nil, nil)
            // Positive: the flag that kept it from being loaded.
            if result > 0 { return .blacklisted }
            if result == -ENOENT { return .unknown }
            if result < 0 { return .failed(Errno(rawValue: -result)) }
            entry = kmod_list_next(list, current)
        }
        return .inserted
    }

    private func makeContext() -> OpaquePointer? {
        guard let configurationDirectory else { return kmod_new(modulesDirectory?.string, nil) }
        return configurationDirectory.withCString { path in
            // SAFETY: libkmod copies the list of paths, which ends with a null pointer.
            withUnsafePointer(to: (Optional(path), UnsafePointer<CChar>?.none)) { pair in
                pair.withMemoryRebound(to: UnsafePointer<CChar>?.self, capacity: 2) {
                    kmod_new(modulesDirectory?.string, $0)
                }
            }
        }
    }
}

extension FilePath {
    /// Whether this directory has an entry of that name.
    func exists(_ name: String) -> Bool { access(appending(name).string, F_OK) == 0 }
}

enum KernelRelease {
    /// The running kernel's release, as `uname -r` prints it; empty if the kernel does not tell.
    static var running: String {
        var names = utsname()
        guard uname(&names) == 0 else { return "" }
        return withUnsafeBytes(of: names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
