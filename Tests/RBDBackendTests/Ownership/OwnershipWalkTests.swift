import RBDBackend
import Testing

/// Walks over everything that two gateways, a lock, a blocklist and an OSD can do to one another.
@Suite("Ownership of an image, every short sequence of events")
struct OwnershipWalkTests {
    /// What a walk came to.
    struct Walk {
        var states = 0
        var fault: String?
        var path: [OwnershipModel.Step] = []
        /// All sequences of so many steps were walked.
        var completeDepth = 0
    }

    /// Breadth first over all sequences of at most `depth` steps; equal states are walked on from once.
    private func walk(
        _ start: OwnershipModel, depth: Int, most: Int, faults: OwnershipModel.Faults = .all, mayFence: Bool = true
    ) -> Walk {
        var result = Walk()
        var seen: Set<OwnershipModel> = [start]
        var trail: [(state: OwnershipModel, parent: Int, step: OwnershipModel.Step?)] = [(start, -1, nil)]
        var next = 0
        var depths = [0]
        result.completeDepth = depth
        while next < trail.count {
            let (state, _, _) = trail[next]
            // Every third state: finding the way back takes many times as long as getting there.
            if faults == .all || faults == .settings, next % 3 == 0,
                let obstacle = state.obstacle(0) ?? state.obstacle(1)
            {
                result.fault = obstacle
                result.path = path(trail, to: next)
                break
            }
            if depths[next] < depth && seen.count < most {
                for step in state.steps(faults) {
                    var following = state
                    following.take(step)
                    if !mayFence, !following.blocklisted.isEmpty { following.fault = "a client is fenced" }
                    guard seen.insert(following).inserted else { continue }
                    trail.append((following, next, step))
                    depths.append(depths[next] + 1)
                    if let fault = following.fault {
                        result.fault = fault
                        result.path = path(trail, to: trail.count - 1)
                        result.states = seen.count
                        return result
                    }
                }
            } else if depths[next] < depth {
                // The first state that is left as it is: what is as far away may have been left, too.
                result.completeDepth = min(result.completeDepth, depths[next])
            }
            next += 1
        }
        result.states = seen.count
        return result
    }

    private func path(
        _ trail: [(state: OwnershipModel, parent: Int, step: OwnershipModel.Step?)], to end: Int
    ) -> [OwnershipModel.Step] {
        var steps: [OwnershipModel.Step] = []
        var place = end
        while place >= 0, let step = trail[place].step {
            steps.append(step)
            place = trail[place].parent
        }
        return steps.reversed()
    }

    /// Gateway 0 has the lock and its hold time is over; gateway 1 has none.
    private func owned(
        mutation: OwnershipModel.Mutation = [], settings: OwnershipModel.Settings = .stock
    ) -> OwnershipModel {
        var model = OwnershipModel(mutation: mutation, settings: settings)
        model.take(.write(0))
        while !model.gateways[0].gateIsOpen { model.take(.act(0, .good)) }
        while !model.gateways[0].todo.isEmpty { model.take(.act(0, .good)) }
        model.now += 600
        // A write is on its way, and the other gateway wants the lock.
        model.take(.write(0))
        model.take(.write(1))
        return model
    }

    @Test(
        "no old owner's write lands after a new owner's, nobody writes beside another, and there is always a way on"
    )
    func everySequence() {
        let walks: [(title: String, start: OwnershipModel, depth: Int, least: Int, faults: OwnershipModel.Faults)] =
            [
                ("nobody owns", OwnershipModel(), 10, 10, .all), ("one owns", owned(), 9, 9, .all),
                ("one owns, writes time out", owned(), 26, 12, .timeOuts),
                ("one owns, metadata change", owned(), 26, 9, .settings),
            ]
        for (title, start, depth, least, faults) in walks {
            let result = walk(start, depth: depth, most: 20_000, faults: faults)
            print(
                "ownership walk, \(title): \(result.states) states, every sequence of \(result.completeDepth) steps"
            )
            #expect(result.fault == nil, "\(result.fault ?? ""): \(result.path)")
            #expect(result.states > 3_000 && result.completeDepth >= least)
        }
    }

    @Test("as long as the end of every write is known, those that are refused included, nobody is fenced")
    func refusals() {
        let result = walk(owned(), depth: 26, most: 20_000, faults: .refusals, mayFence: false)
        print("ownership walk, writes are refused: \(result.states) states, \(result.completeDepth) steps")
        #expect(result.fault == nil, "\(result.fault ?? ""): \(result.path)")
        #expect(result.states > 1_000)
    }

    @Test(
        "a machine or cluster with a rule broken is found out",
        arguments: [
            OwnershipModel.Mutation.drainsCarelessly, .breaksWithoutBlocklist, .keepsGateOpen, .forgetsTimeOuts,
        ])
    func mutations(mutation: OwnershipModel.Mutation) {
        let result = walk(owned(mutation: mutation), depth: 30, most: 200_000, faults: .timeOuts)
        print(
            "mutation \(mutation.rawValue): \(result.fault ?? "not found") after \(result.states) states, \(result.path)"
        )
        #expect(result.fault != nil)
    }

    @Test(
        "a mend taken out is found out: settings that librbd captured, and a lock of which librbd and the OSD think differently",
        arguments: [
            Mend(
                .believesMetadata, from: .withoutBlocklist, .settings, ["landed after", "two gateways may write"]),
            Mend(.breaksByLibrary, from: .withExpiry, .settings, ["no way back"]),
            Mend(.givesBackToLibrary, .all, ["no way back"]), Mend(.givesBackToOSD, .all, ["no way back"]),
            Mend(.barsUnseen, .all, ["has given the lock back"]),
        ])
    func mends(mend: Mend) {
        let start =
            mend.mutation == .givesBackToLibrary || mend.mutation == .givesBackToOSD
            ? OwnershipModel(mutation: mend.mutation) : owned(mutation: mend.mutation, settings: mend.settings)
        let result = walk(start, depth: 30, most: 200_000, faults: mend.faults)
        let fault = result.fault ?? "not found"
        print("mutation \(mend.mutation.rawValue): \(fault) after \(result.states) states, \(result.path)")
        #expect(mend.found.contains { fault.contains($0) }, "\(fault)")
    }

    /// A mend, and by what it is missed.
    struct Mend: Sendable, CustomTestStringConvertible {
        let mutation: OwnershipModel.Mutation
        let settings: OwnershipModel.Settings
        let faults: OwnershipModel.Faults
        let found: [String]
        var testDescription: String { "\(mutation.rawValue)" }

        init(
            _ mutation: OwnershipModel.Mutation, from settings: OwnershipModel.Settings = .stock,
            _ faults: OwnershipModel.Faults, _ found: [String]
        ) {
            self.mutation = mutation
            self.settings = settings
            self.faults = faults
            self.found = found
        }
    }

    @Test("long random runs keep the rules", arguments: [1, 2, 3, UInt64.random(in: 4...1 << 32)])
    func randomRuns(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<40 {
            var model = OwnershipModel()
            for _ in 0..<400 {
                var steps = model.steps(.all)
                // Faults are rarer than work, or nothing but faults would happen.
                if Int.random(in: 0..<4, using: &random) != 0 { steps = model.steps(.none) }
                guard let step = steps.randomElement(using: &random) else { break }
                model.take(step)
                if let fault = model.fault {
                    Issue.record("\(fault), seed \(seed)")
                    return
                }
            }
            #expect(model.obstacle(0) == nil, "seed \(seed)")
        }
    }
}
