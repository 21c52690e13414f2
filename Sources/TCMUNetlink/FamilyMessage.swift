/// What generic netlink itself tells in its group "notify": families that come and go (linux/genetlink.h).
enum FamilyMessage {
    /// CTRL_CMD_NEWFAMILY
    static let came: UInt8 = 1
    /// CTRL_CMD_DELFAMILY
    static let gone: UInt8 = 2
    /// CTRL_ATTR_FAMILY_NAME, string
    static let name: UInt16 = 2

    /// Nil for another family, for other news, and for what makes no sense: nobody waits for an answer to these.
    static func event(_ bytes: [UInt8]) -> TCMUEvent? {
        guard let (payload, _) = GenericNetlinkPayload.parse(bytes[...]),
            payload[name]?.text == NetlinkSession.familyName
        else { return nil }
        return switch payload.command {
        case came: .familyCame
        case gone: .familyGone
        default: nil
        }
    }
}
