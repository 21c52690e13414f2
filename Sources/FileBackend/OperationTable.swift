/// A first-in first-out chain through ``FileOperation/next``.
struct OperationQueue {
    private(set) var first: UnsafeMutablePointer<FileOperation>?
    private var last: UnsafeMutablePointer<FileOperation>?

    mutating func append(_ operation: UnsafeMutablePointer<FileOperation>) {
        operation.pointee.next = nil
        if let last {
            last.pointee.next = operation
        } else {
            first = operation
        }
        last = operation
    }

    mutating func removeFirst() {
        first = first?.pointee.next
        if first == nil { last = nil }
    }
}

/// The operations of one backend, at fixed addresses.
///
/// The whole table is reserved at open, but the system gives memory only for the places that were ever used: the
/// place freed last is taken first.
struct OperationTable: ~Copyable {
    private let places: UnsafeMutablePointer<FileOperation>
    private let capacity: Int
    private var touched = 0
    private var free: UnsafeMutablePointer<FileOperation>?
    /// Operations out at the moment.
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        places = .allocate(capacity: capacity)
    }

    deinit {
        places.deallocate()
    }

    /// A place for `operation`, or nil when all are taken.
    mutating func insert(_ operation: FileOperation) -> UnsafeMutablePointer<FileOperation>? {
        if let place = free {
            free = place.pointee.next
            place.pointee = operation
            count += 1
            return place
        }
        guard touched < capacity else { return nil }
        let place = places + touched
        place.initialize(to: operation)
        touched += 1
        count += 1
        return place
    }

    /// Frees the place; the operation in it is over.
    mutating func remove(_ place: UnsafeMutablePointer<FileOperation>) {
        place.pointee.next = free
        free = place
        count -= 1
    }
}
