import BlockBackend
import Glibc
import RBDBackend
import SystemPackage
import Testing

/// Failures to open that need no cluster.
@Suite("Opening without a cluster")
struct OpenErrorTests {
    private func error(_ change: (inout RBDOptions) -> Void) -> BackendError? {
        var options = RBDOptions(pool: "rbd", image: "disk_1")
        change(&options)
        do throws(BackendError) {
            var backend = try RBDBackend.open(options, expectedSize: 1 << 20, blockSize: 512)
            backend.close()
            return nil
        } catch {
            return error
        }
    }

    @Test("a conf that does not exist is ENOENT and named")
    func missingConf() {
        let error = error { $0.confPath = "/nonexistent/ceph.conf" }
        #expect(error?.errno == .noSuchFileOrDirectory)
        #expect(error?.message.contains("/nonexistent/ceph.conf") == true)
    }

    @Test("a conf that is a directory is EISDIR")
    func directoryConf() {
        #expect(error { $0.confPath = "/" }?.errno == .isDirectory)
    }

    @Test("a conf that is no ceph.conf is EINVAL")
    func malformedConf() throws {
        let conf = try TemporaryFile("[global\nmon host 127.0.0.1\n]]]\n")
        #expect(error { $0.confPath = conf.path }?.errno == .invalidArgument)
    }

    @Test("a cluster that does not answer is ETIMEDOUT after the connect time-out, with the monitor named")
    func unreachable() throws {
        // Port 1 of loopback: refused at once, and librados goes on trying.
        let conf = try TemporaryFile(
            "[global]\nmon host = v1:127.0.0.1:1\nauth client required = none\nlog to stderr = false\n")
        let error = error {
            $0.confPath = conf.path
            $0.connectTimeoutSeconds = 1
        }
        #expect(error?.errno == .timedOut)
        #expect(error?.message.contains("127.0.0.1:1") == true)
    }

    @Test("an unknown setting is refused by name")
    func unknownSetting() throws {
        let conf = try TemporaryFile("[global]\n")
        let error = error {
            $0.confPath = conf.path
            $0.settings = [RBDSetting("rbd_no_such_option", "1")]
        }
        #expect(error?.errno == .noSuchFileOrDirectory)
        #expect(error?.message.contains("rbd_no_such_option") == true)
    }

    @Test(
        "names that librbd would read differently are EINVAL",
        arguments: [
            ("", nil, "i", nil), ("p", nil, "", nil), ("p", "", "i", nil), ("p", nil, "i", ""),
            ("p\0q", nil, "i", nil),
            ("p", nil, "i\0", nil), ("p", "\0", "i", nil),
        ] as [(String, String?, String, String?)])
    func names(pool: String, namespace: String?, image: String, snapshot: String?) {
        let error = error {
            $0.pool = pool
            $0.namespace = namespace
            $0.image = image
            $0.snapshot = snapshot
        }
        #expect(error?.errno == .invalidArgument)
        #expect(error?.message.utf8.contains(0) == false)
    }

    @Test("an image is named as the rbd command names it")
    func spec() {
        var options = RBDOptions(pool: "rbd", image: "disk_1")
        #expect(options.spec == "rbd/disk_1")
        options.namespace = "tenant"
        options.snapshot = "monday"
        #expect(options.spec == "rbd/tenant/disk_1@monday")
    }

    @Test(
        "errno's own words give way where they would mislead",
        arguments: [
            (108, "blocklisted"), (110, "no answer in time"), (30, "exclusive lock"), (16, "in use"), (13, "cephx"),
            (1, "capability"),
        ] as [(CInt, String)])
    func reasons(code: CInt, word: String) {
        #expect(reason(Errno(rawValue: code)).contains(word))
    }
}
