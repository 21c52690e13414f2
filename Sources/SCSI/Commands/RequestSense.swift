/// REQUEST SENSE (SPC-4 6.39).
public struct RequestSense: Sendable, Equatable, BitwiseCopyable {
    /// DESC: descriptor format is asked for.
    public var descriptorFormat: Bool
    /// ALLOCATION LENGTH, in bytes.
    public var allocationLength: UInt8

    public init(descriptorFormat: Bool = false, allocationLength: UInt8) {
        self.descriptorFormat = descriptorFormat
        self.allocationLength = allocationLength
    }

    init(_ cdb: CDB) {
        self.init(descriptorFormat: cdb[1] & 0x01 != 0, allocationLength: cdb[4])
    }

    /// The whole parameter data that reports `sense`, in the format asked for; it goes with GOOD status.
    /// - Parameter sense: what is pending; ``Sense/none`` where nothing is.
    public func response(_ sense: Sense = .none) -> [UInt8] {
        descriptorFormat ? sense.descriptorBytes : sense.fixedBytes
    }
}
