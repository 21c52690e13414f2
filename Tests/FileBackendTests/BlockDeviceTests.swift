import BlockBackend
import FileBackend
import Glibc
import SystemPackage
import Testing

/// A loop device over a scratch file; gone at the end.
private final class LoopDevice {
    let path: String
    private let control: CInt
    private let device: CInt

    /// linux/loop.h; variadic ioctls with plain numbers.
    private static let getFree: UInt = 0x4C82
    private static let setDescriptor: UInt = 0x4C00
    private static let clearDescriptor: UInt = 0x4C01
    private static let setCapacity: UInt = 0x4C07

    /// nil where the machine lends no loop device: not root, no driver, a container.
    init?(over file: String) {
        control = open("/dev/loop-control", O_RDWR | O_CLOEXEC)
        let number = control >= 0 ? ioctl(control, LoopDevice.getFree) : -1
        path = "/dev/loop\(number)"
        device = number >= 0 ? open(path, O_RDWR | O_CLOEXEC) : -1
        let backing = open(file, O_RDWR | O_CLOEXEC)
        defer { if backing >= 0 { close(backing) } }
        guard device >= 0, backing >= 0, ioctl(device, LoopDevice.setDescriptor, backing) == 0 else {
            if device >= 0 { close(device) }
            if control >= 0 { close(control) }
            return nil
        }
    }

    deinit {
        _ = ioctl(device, LoopDevice.clearDescriptor, 0)
        close(device)
        close(control)
    }

    /// Takes over a new size of the file. Returns false if the driver does not.
    func takeSize() -> Bool { ioctl(device, LoopDevice.setCapacity, 0) == 0 }

    static let isAvailable: Bool = {
        guard let scratch = Scratch(in: "/var/tmp") else { return false }
        return LoopDevice(over: scratch.file("probe", size: 1 << 20)) != nil
    }()
}

@Suite(
    "A unit on a block device", .serialized, .enabled(if: LoopDevice.isAvailable, "no loop device to be had here"))
struct BlockDeviceTests {
    private static let size = 8 << 20

    private func withDevice(_ body: (String, Scratch) throws -> Void) throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        let device = try #require(LoopDevice(over: scratch.file("disk", size: Self.size)))
        try body(device.path, scratch)
        _ = consume device
    }

    private func open(_ path: String, direct: Bool = false, size: Int = Self.size, block: UInt32 = 512)
        throws(BackendError)
        -> FileBackend
    {
        try FileBackend.open(path: path, direct: direct, expectedSize: UInt64(size), blockSize: block)
    }

    @Test("grows with its device") func grows() throws {
        let scratch = try #require(Scratch(in: "/var/tmp"))
        let file = scratch.file("disk", size: Self.size)
        let device = try #require(LoopDevice(over: file))
        var rig = try Rig(try open(device.path))
        let found = rig.backend.keeper
        let keeper = try #require(found)
        try #require(truncate(file, 2 * Self.size) == 0)
        #expect(throws: BackendError.self) { try keeper.resize(to: UInt64(2 * Self.size)) }
        try #require(device.takeSize())
        try keeper.resize(to: UInt64(2 * Self.size))
        let size = rig.backend.size
        #expect(size == UInt64(2 * Self.size))
        let content = [UInt8](repeating: 0x6B, count: 4096)
        let written = rig.write(2 * Self.size - 4096, content)
        let (result, bytes) = rig.read(2 * Self.size - 4096, 4096)
        #expect([written, result] == [.success, .success])
        #expect(bytes == content)
        rig.backend.close()
        _ = consume device
    }

    @Test("reads, writes, zeroes, discards and flushes", arguments: [false, true]) func works(direct: Bool) throws {
        try withDevice { path, scratch in
            var rig = try Rig(try open(path, direct: direct))
            let content = [UInt8](repeating: 0xC3, count: 1 << 20)
            let written = rig.write(0, content)
            let durable = rig.write(1 << 20, content, durable: true)
            let zeroed = rig.answer(rig.backend.writeZeroes(extent(4096, 8192), ticket: rig.ticket()))
            let flushed = rig.answer(rig.backend.flush(ticket: rig.ticket()))
            #expect([written, durable, zeroed, flushed] == [.success, .success, .success, .success])
            var expected = content + content
            expected.replaceSubrange(4096..<12288, with: repeatElement(0, count: 8192))
            let capabilities = rig.backend.capabilities
            if capabilities.discard != nil {
                #expect(capabilities.discard?.readsZeros == true)
                let discarded = rig.answer(rig.backend.discard(extent(65536, 65536), ticket: rig.ticket()))
                #expect(discarded == .success)
                expected.replaceSubrange(65536..<131072, with: repeatElement(0, count: 65536))
            }
            let (result, bytes) = rig.read(0, 2 << 20)
            #expect(result == .success)
            #expect(bytes == expected)
            rig.backend.close()
        }
    }

    @Test("counts as mapped throughout, and its space is not known") func surveys() throws {
        try withDevice { path, _ in
            var rig = try Rig(try open(path))
            let capabilities = rig.backend.capabilities
            #expect(!capabilities.reportsAllocation)
            #expect(!capabilities.reportsSpace)
            #expect(capabilities.atomicWriteBytes == 0)
            let allocation = Survey(.allocation(extent(4096, 1 << 20), limit: 10))
            let first = rig.answer(rig.backend.survey(allocation, ticket: rig.ticket()))
            #expect(first == .success)
            #expect(allocation.runs == [AllocationRun(extent: extent(4096, 1 << 20), isMapped: true)])
            let space = Survey(.space)
            let second = rig.answer(rig.backend.survey(space, ticket: rig.ticket()))
            #expect(second == .success)
            #expect(space.availableBytes == nil && space.usedBytes == nil)
            let hinted = rig.answer(rig.backend.prefetch(extent(0, Self.size), ticket: rig.ticket()))
            #expect(hinted == .success)
            rig.backend.close()
        }
    }

    @Test("is claimed while it is open, and free right after close") func claimed() throws {
        try withDevice { path, _ in
            for round in 0..<50 {
                var rig = try Rig(try open(path))
                if round == 0 {
                    do throws(BackendError) {
                        _ = try open(path)
                        Issue.record("a second unit has the device")
                    } catch {
                        #expect(error.errno == .resourceBusy)
                        #expect(error.message.contains("in use"))
                    }
                }
                let written = rig.write(0, [UInt8](repeating: UInt8(round), count: 4096))
                #expect(written == .success)
                rig.backend.close()
            }
        }
    }

    @Test("must be at least as large as the unit", arguments: [Self.size + 512, 2 * Self.size])
    func sizes(unit: Int) throws {
        try withDevice { path, _ in
            do throws(BackendError) {
                _ = try open(path, size: unit)
                Issue.record("a unit of \(unit) bytes on a device of \(Self.size)")
            } catch {
                #expect(error.errno == .invalidArgument)
                #expect(error.message.contains("\(Self.size) bytes"))
                #expect(error.message.contains("\(unit)"))
            }
        }
    }
}
