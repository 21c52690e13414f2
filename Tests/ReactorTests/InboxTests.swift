import Glibc
import Reactor
import Synchronization
import TCMUTestKit
import Testing

@Suite("Completion inbox")
struct InboxTests {
    /// Nodes at fixed addresses with the inbox that they answer through.
    private final class Slab: @unchecked Sendable {
        // SAFETY: as in a unit: a node belongs to one producer until it is pushed, then to the owner.
        let wake: WakeSignal
        let inbox: CompletionInbox
        let nodes: UnsafeMutablePointer<CompletionNode>
        let count: Int

        init(_ count: Int) throws {
            wake = try WakeSignal()
            inbox = CompletionInbox(wakeDescriptor: wake.descriptor)
            nodes = .allocate(capacity: count)
            self.count = count
            for slot in 0..<count {
                (nodes + slot).initialize(to: CompletionNode(unit: 7, slot: UInt32(slot), inbox: inbox))
            }
        }

        deinit {
            nodes.deinitialize(count: count)
            nodes.deallocate()
            inbox.destroy()
        }

        func take() -> [UInt32] {
            var slots: [UInt32] = []
            var next = inbox.takeAll()
            while let node = next {
                next = node.pointee.following
                slots.append(node.pointee.slot)
            }
            return slots
        }

        /// True if the eventfd was raised; clears it.
        func wasWoken() -> Bool {
            var poll = pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, 0) == 1 else { return false }
            wake.clear()
            return true
        }
    }

    @Test("comes back in the order it was left, once") func order() throws {
        let slab = try Slab(5)
        #expect(slab.take().isEmpty)
        for slot in [3, 1, 4, 0] { slab.inbox.push(slab.nodes + slot) }
        #expect(slab.take() == [3, 1, 4, 0])
        #expect(slab.take().isEmpty)
        for slot in [4, 2] { slab.inbox.push(slab.nodes + slot) }
        #expect(slab.take() == [4, 2])
    }

    @Test("no system call for an owner that is awake") func awake() throws {
        let slab = try Slab(3)
        slab.inbox.push(slab.nodes)
        #expect(!slab.wasWoken())
        #expect(slab.take() == [0])
        #expect(slab.inbox.park())
        slab.inbox.unpark()
        slab.inbox.push(slab.nodes + 1)
        #expect(!slab.wasWoken())
    }

    @Test("a parked owner is woken once however many arrive") func once() throws {
        let slab = try Slab(3)
        #expect(slab.inbox.park())
        slab.inbox.push(slab.nodes)
        #expect(slab.wasWoken())
        slab.inbox.push(slab.nodes + 1)
        slab.inbox.push(slab.nodes + 2)
        #expect(!slab.wasWoken())
        #expect(slab.take() == [0, 1, 2])
    }

    @Test("an owner with something waiting cannot park") func refused() throws {
        let slab = try Slab(1)
        slab.inbox.push(slab.nodes)
        #expect(!slab.inbox.park())
        #expect(!slab.wasWoken())
        #expect(slab.take() == [0])
        // Not parked after the refusal either.
        slab.inbox.push(slab.nodes)
        #expect(!slab.wasWoken())
        _ = slab.take()
    }

    @Test("a bare wake-up reaches a parked owner and only that") func bareWake() throws {
        let slab = try Slab(1)
        slab.inbox.wakeOwner()
        #expect(!slab.wasWoken())
        #expect(slab.inbox.park())
        slab.inbox.wakeOwner()
        #expect(slab.wasWoken())
    }

    @Test("many producers, an owner that keeps falling asleep: nothing is lost, doubled or slept through")
    func stress() throws {
        let random = SeededRandom.replayable()
        let seed = random.seed
        print("inbox stress: \(random)")
        let producers = 4
        let each = 10_000
        let slab = try Slab(producers * each)
        let started = (0..<producers).compactMap { producer in
            OwnedThread(name: "producer-\(producer)") {
                var random = seed &+ UInt64(producer) &* 0x9E37_79B9
                for index in 0..<each {
                    let node = slab.nodes + (producer * each + index)
                    node.pointee.result = -Int32(index % 1000)
                    node.pointee.detail = UInt64(producer * each + index)
                    slab.inbox.push(node)
                    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    // Gaps of every length up to a time slice, so that pushes meet each step of going to sleep.
                    switch random >> 58 {
                    case 0: sched_yield()
                    case 1: usleep(UInt32(random >> 40 & 63))
                    case 2...20: for step in 0..<(random >> 40 & 255) { random ^= step }
                    default: break
                    }
                }
            }
        }
        try #require(started.count == producers)
        var seen = [UInt8](repeating: 0, count: producers * each)
        var newest = [Int](repeating: -1, count: producers)
        var total = 0
        var sleeps = 0
        var sleptThrough = false
        var disordered = 0
        var torn = 0
        while total < producers * each && !sleptThrough {
            var next = slab.inbox.takeAll()
            while let node = next {
                next = node.pointee.following
                let slot = Int(node.pointee.slot)
                let index = slot % each
                if node.pointee.detail != UInt64(slot) || node.pointee.result != -Int32(index % 1000) { torn += 1 }
                if index <= newest[slot / each] { disordered += 1 }
                newest[slot / each] = index
                seen[slot] &+= 1
                total += 1
            }
            guard total < producers * each, slab.inbox.park() else { continue }
            sleeps += 1
            var poll = pollfd(fd: slab.wake.descriptor, events: Int16(POLLIN), revents: 0)
            // 20 s without a wake-up while producers still have something: one was lost.
            sleptThrough = Glibc.poll(&poll, 1, 20_000) == 0
            slab.inbox.unpark()
            if poll.revents != 0 { slab.wake.clear() }
        }
        for thread in started { thread.join() }
        #expect(!sleptThrough, "\(random)")
        #expect(seen.allSatisfy { $0 == 1 }, "\(random)")
        #expect(disordered == 0, "\(random)")
        #expect(torn == 0, "\(random)")
        #expect(sleeps > 0)
    }

    /// With nobody left to push again, a lost wake-up is a sleep for good.
    @Test("the last push before a sleep is never slept through") func lastPush() throws {
        let random = SeededRandom.replayable()
        let seed = random.seed
        print("inbox last push: \(random)")
        let rounds = 5_000
        let slab = try Slab(rounds)
        let turn = Turn()
        let producer = try #require(
            OwnedThread(name: "producer") {
                var jitter = Jitter(state: seed)
                for round in 0..<rounds {
                    while turn.round.load(ordering: .acquiring) < round { sched_yield() }
                    jitter.spin()
                    slab.inbox.push(slab.nodes + round)
                }
            })
        var jitter = Jitter(state: ~seed)
        var sleptThrough = 0
        for round in 0..<rounds {
            turn.round.store(round, ordering: .releasing)
            var seen = slab.take()
            while seen.isEmpty {
                // Widens the gap between the look and the announcement of the sleep.
                jitter.spin()
                if slab.inbox.park() {
                    var poll = pollfd(fd: slab.wake.descriptor, events: Int16(POLLIN), revents: 0)
                    if Glibc.poll(&poll, 1, 10_000) == 0 { sleptThrough += 1 }
                    slab.inbox.unpark()
                    if poll.revents != 0 { slab.wake.clear() }
                }
                seen = slab.take()
                if sleptThrough > 0 { break }
            }
            if sleptThrough > 0 { break }
            #expect(seen == [UInt32(round)])
        }
        // Lets the producer finish, whatever happened.
        turn.round.store(rounds, ordering: .releasing)
        producer.join()
        #expect(sleptThrough == 0, "\(random)")
    }

    private final class Turn: Sendable {
        let round = Atomic<Int>(-1)
    }

    /// Waits of seeded length, none to some microseconds.
    private struct Jitter {
        var state: UInt64
        mutating func spin() {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            var sink: UInt64 = 0
            for step in 0..<(state >> 57) { sink ^= step &* state }
            state ^= sink & 1
        }
    }
}
