package import BlockBackend
internal import Synchronization

/// Instances that are costly to make, at most one per key: made for the first who asks, gone with the last who
/// holds it.
///
/// Threads that ask for the same key at the same time share one attempt to make it (``SharedAttempt``); other keys
/// go on meanwhile. The registry itself keeps nothing alive.
package final class SharedInstances<Key: Hashable & Sendable, Instance: AnyObject & Sendable>: Sendable {
    private final class Entry: Sendable {
        let making = SharedAttempt()
        private let current = Mutex(Held())

        private struct Held {
            weak var instance: Instance?
        }

        var instance: Instance? { current.withLock { $0.instance } }

        func hold(_ instance: Instance?) {
            current.withLock { $0.instance = instance }
        }

        /// Forgets `instance`, if it is still the one.
        func drop(_ instance: Instance) {
            current.withLock { if $0.instance === instance { $0.instance = nil } }
        }
    }

    private struct Place {
        let entry = Entry()
        /// Threads that are at it.
        var visitors = 0
    }

    private let places = Mutex<[Key: Place]>([:])

    /// An empty registry.
    package init() {}

    /// The instance of `key`, made by `make` where there is none. Blocks while another thread makes it.
    ///
    /// - Throws: what `make` throws, to everyone who waited for it.
    package func instance(
        _ key: Key, make: () throws(BackendError) -> Instance
    ) throws(BackendError) -> Instance {
        let (entry, arrival) = enter(key)
        defer { leave(key) }
        // Not behind those who wait for an attempt: what is there can be had at once.
        if let instance = entry.instance { return instance }
        return try entry.making.alone(since: arrival) { () throws(BackendError) in
            if let instance = entry.instance { return instance }
            let instance = try make()
            entry.hold(instance)
            return instance
        }
    }

    /// The next one to ask for `key` gets a new instance; `instance` stays with those who have it.
    package func retire(_ instance: Instance, of key: Key) {
        places.withLock { $0[key]?.entry }?.drop(instance)
    }

    /// Whether there is an instance of `key` now.
    package func has(_ key: Key) -> Bool {
        let entry = places.withLock { $0[key]?.entry }
        return entry?.instance != nil
    }

    /// Threads that ask for `key` at this moment.
    package func visitors(of key: Key) -> Int {
        places.withLock { $0[key]?.visitors ?? 0 }
    }

    /// Keys that are known: of living instances, of those being made, and of those gone since the last new key.
    package var count: Int { places.withLock { $0.count } }

    private func enter(_ key: Key) -> (Entry, arrival: Int) {
        let (entry, arrival, swept) = places.withLock { places in
            let swept = places[key] == nil ? sweep(&places) : []
            var place = places[key] ?? Place()
            place.visitors += 1
            places[key] = place
            return (place.entry, place.entry.making.arrival, swept)
        }
        withExtendedLifetime(swept) {}
        return (entry, arrival)
    }

    private func leave(_ key: Key) {
        places.withLock { $0[key]?.visitors -= 1 }
    }

    /// Forgets keys whose instances are gone. Bound: with each new key, so that there are never more than keys in use at
    /// one time and the new one.
    ///
    /// - Returns: what was alive, to be let go without the lock: an instance may take its time to close, and looking at
    ///   it may have made this thread its last holder.
    private func sweep(_ places: inout [Key: Place]) -> [Instance] {
        let alive = places.values.compactMap { $0.entry.instance }
        places = places.filter { $0.value.visitors > 0 || $0.value.entry.instance != nil }
        return alive
    }
}
