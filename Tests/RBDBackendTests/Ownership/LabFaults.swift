import Glibc
import RBDBackend
import Synchronization
import Testing

/// While one lives, nobody else stops the OSDs of the scratch cluster, nor lets them go on. Suites run beside one another.
struct OSDTurn: ~Copyable {
    private static let isTaken = Mutex(false)

    init() {
        while Self.isTaken.withLock({ isTaken in
            defer { isTaken = true }
            return isTaken
        }) { usleep(10_000) }
    }

    deinit {
        Self.isTaken.withLock { $0 = false }
    }
}

/// The OSDs of the scratch cluster, stopped as if they hung, until they are told to go on.
struct StalledOSDs: ~Copyable {
    private let turn: OSDTurn
    private let processes: [pid_t]

    init() throws {
        let found = try tool("pidof ceph-osd").split(separator: " ").compactMap {
            pid_t($0.filter { !$0.isWhitespace })
        }
        try #require(!found.isEmpty)
        turn = OSDTurn()
        processes = found
        for process in processes { kill(process, SIGSTOP) }
    }

    func goOn() {
        for process in processes { kill(process, SIGCONT) }
    }

    deinit {
        goOn()
    }
}

/// A cephx user of the scratch cluster, gone with its owner.
struct CephUser: ~Copyable {
    private let name: String
    private let key: String

    /// - Parameter monitor: its capabilities at the monitors; it may do with images what it likes.
    init(monitor: String) throws {
        let name = "test-\(UInt32.random(in: 0...UInt32.max))"
        let line = try tool("ceph auth get-or-create-key client.\(name) mon '\(monitor)' osd 'profile rbd'")
        self.name = name
        key = String(line.prefix { !$0.isNewline })
    }

    /// Gives it other capabilities; a client has those of the time when it connected.
    func allow(monitor: String) throws {
        try tool("ceph auth caps client.\(name) mon '\(monitor)' osd 'profile rbd'")
    }

    /// Has `options` connect as this user.
    func use(_ options: inout RBDOptions) {
        options.cephxID = name
        options.settings.append(RBDSetting("key", key))
    }

    deinit {
        _ = try? tool("ceph auth rm client.\(name)")
    }
}
