/// The mode parameters that MODE SELECT may change. They live as long as the device does, over daemons.
public struct ModeParameters: Sendable, Equatable, BitwiseCopyable {
    /// WCE.
    public var writeCacheEnabled: Bool
    /// SWP.
    public var softwareWriteProtect: Bool
    /// D_SENSE.
    public var descriptorSense: Bool

    public init(writeCacheEnabled: Bool, softwareWriteProtect: Bool, descriptorSense: Bool) {
        self.writeCacheEnabled = writeCacheEnabled
        self.softwareWriteProtect = softwareWriteProtect
        self.descriptorSense = descriptorSense
    }
}

extension ModePages {
    /// What may be changed, as it is. Setting leaves WCE alone where it cannot be changed.
    public var parameters: ModeParameters {
        get {
            ModeParameters(
                writeCacheEnabled: writeCacheEnabled, softwareWriteProtect: softwareWriteProtect,
                descriptorSense: descriptorSense)
        }
        set {
            if writeCacheChangeable { writeCacheEnabled = newValue.writeCacheEnabled }
            softwareWriteProtect = newValue.softwareWriteProtect
            descriptorSense = newValue.descriptorSense
        }
    }
}
