import Daemon
import Glibc
import SystemPackage
import Testing

@Suite("Instance lock")
struct InstanceLockTests {
    static func freshPath() -> String {
        "/tmp/instance-lock-\(getpid())-\(UInt32.random(in: 0 ... .max)).lock"
    }

    @Test("a second process is told who holds the lock")
    func held() async throws {
        let path = Self.freshPath()
        defer { unlink(path) }
        let lock = try InstanceLock(path: FilePath(path))
        let pid = getpid()
        await #expect(processExitsWith: .success) { [path = path as String, pid = pid as Int32] in
            do throws(InstanceLockError) {
                _ = try InstanceLock(path: FilePath(path))
                exit(1)
            } catch {
                guard case .held(_, pid, let process) = error, !process.isEmpty,
                    error.description == "already running: \(process) (pid \(pid)) holds \(path)"
                else { exit(2) }
            }
        }
        withExtendedLifetime(lock) {}
    }

    @Test("the lock is free again when its owner lets go, and the file stays with mode 0600")
    func released() async throws {
        let path = Self.freshPath()
        defer { unlink(path) }
        do { _ = try InstanceLock(path: FilePath(path)) }
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        await #expect(processExitsWith: .success) { [path = path as String] in
            _ = try InstanceLock(path: FilePath(path))
        }
    }

    @Test("a file that cannot be made is an error with its path")
    func unusable() throws {
        do throws(InstanceLockError) {
            _ = try InstanceLock(path: "/nonexistent/tcmu.lock")
            Issue.record("locked a file that cannot be")
        } catch {
            #expect(error.description == "cannot lock /nonexistent/tcmu.lock: No such file or directory")
        }
    }
}
