import RBDBackend

/// Two gateways with a machine each, one image of one object, its lock, the cluster's blocklist and an OSD in whose
/// queue writes can be delayed. Everything that may happen next is a ``Step``.
///
/// The cluster is modelled by what Ceph promises: a lock operation is atomic; an OSD carries out the operations of one client in
/// their order and drops those of clients on the blocklist. librbd is modelled by what it keeps to itself: whether it thinks that it
/// has the lock, under which cookie it takes it, and the settings that it read when the image was opened.
struct OwnershipModel: Hashable {
    /// A write on its way to the object.
    struct Write: Hashable {
        let client: Int
        /// Count of takings of the lock at the time it was let through the gate.
        let era: Int
        /// The gateway has given it up: nobody waits for its end.
        var isOrphan = false
    }

    /// Settings of the image's metadata that say what librbd does when it breaks a lock.
    enum Settings: Hashable {
        case stock
        /// `rbd_blocklist_on_break_lock` = false.
        case withoutBlocklist
        /// `rbd_blocklist_expire_seconds` is not 0: librbd breaks no lock.
        case withExpiry

        var next: Settings {
            switch self {
            case .stock: .withoutBlocklist
            case .withoutBlocklist: .withExpiry
            case .withExpiry: .stock
            }
        }
    }

    /// What librbd thinks, which need not be so.
    struct Library: Hashable {
        var hasLock = false
        /// Of its watch; it takes the lock under it.
        var cookie = 0
        /// Read when the image was opened.
        var settings = Settings.stock
    }

    /// The lock as the OSD has it.
    struct Lock: Hashable {
        let client: Int
        let cookie: Int
    }

    /// A gateway: machine, gate, and what a librbd client would hold.
    struct Gateway: Hashable {
        var library = Library()
        var writes: UInt64 = 0
        var machine: OwnershipMachine
        var client: Int
        var gateIsOpen = false
        /// True once the gate told of a write without lock, until rearmed.
        var hasClaimed = false
        var era = 0
        /// What the machine wants done, in order.
        var todo: [OwnershipAction] = []
        /// What has happened while it was busy.
        var inbox: [OwnershipEvent] = []
        /// What it has answered to the other one's question.
        var reply: OwnerReply?
        /// The other one has asked, and waits.
        var isAsked = false
        var claimsEver = 0
        var tookAt: Int64 = -1
        /// The lock that it found when it looked last.
        var found: Lock?
    }

    /// What can go wrong with the next action of a gateway.
    enum Luck: Hashable, CaseIterable {
        case good
        /// It did not take place, and timed out.
        case lostRequest
        /// It took place, and timed out.
        case lostAnswer
        /// The first half of it took place, and the second one timed out: a lock was taken and not looked at afterwards; an
        /// owner was barred and its lock not removed.
        case lostHalf
    }

    enum Step: Hashable {
        /// An initiator writes through the gateway.
        case write(Int)
        /// The next action of the gateway, or the next event it has not looked at.
        case act(Int, Luck)
        /// The OSD takes the oldest write of that client from its queue.
        case carryOut(Int)
        /// The oldest write of the gateway that is waited for times out there and stays in the queue.
        case timeOut(Int)
        /// The gateway's process or link is dead to the world until it acts again: its question stays unanswered.
        case silence(Int)
        /// The gateway is at something else: the call that brought the question answers it.
        case deflect(Int)
        /// Somebody blocklists the gateway's client.
        case blocklist(Int)
        /// The OSD has no room for the oldest write of the gateway that is waited for, and says so.
        case refuse(Int)
        /// librbd's watch broke and was made anew, under another cookie.
        case rewatch(Int)
        /// Somebody changes the image's metadata.
        case configure
        /// Time passes to the next deadline.
        case tick
    }

    /// Rules that can be broken on purpose, to see that the walk finds out.
    struct Mutation: OptionSet, Hashable {
        let rawValue: Int
        /// Waiting for the end of writes says "clean" whatever happened.
        static let drainsCarelessly = Mutation(rawValue: 1)
        /// Breaking a lock does not blocklist the owner.
        static let breaksWithoutBlocklist = Mutation(rawValue: 2)
        /// The gate stays open while the lock is given back.
        static let keepsGateOpen = Mutation(rawValue: 4)
        /// A write that timed out is not told to the machine.
        static let forgetsTimeOuts = Mutation(rawValue: 8)
        /// Breaking bars the owner itself only where the metadata of now say that librbd does not.
        static let believesMetadata = Mutation(rawValue: 16)
        /// Breaking leaves it to librbd to remove the lock.
        static let breaksByLibrary = Mutation(rawValue: 32)
        /// Giving the lock back tells librbd, and not the OSD.
        static let givesBackToLibrary = Mutation(rawValue: 64)
        /// Giving back a lock that the machine does not know of tells the OSD, and not librbd.
        static let givesBackToOSD = Mutation(rawValue: 128)
        /// The owner is barred without another look.
        static let barsUnseen = Mutation(rawValue: 256)
    }

    var gateways: [Gateway]
    var queue: [Write] = []
    var lock: Lock?
    var settings = Settings.stock
    var blocklisted: Set<Int> = []
    var clients: Int
    var era = 0
    var landedEra = 0
    var now: Int64 = 0
    var mutation: Mutation = []
    /// A rule that was broken; the walk stops there.
    var fault: String?

    /// - Parameter settings: of the image, when both opened it and now.
    init(mutation: Mutation = [], settings: Settings = .stock) {
        gateways = (0..<2).map {
            Gateway(library: Library(settings: settings), machine: OwnershipMachine(), client: $0)
        }
        self.settings = settings
        clients = 2
        self.mutation = mutation
    }
}
