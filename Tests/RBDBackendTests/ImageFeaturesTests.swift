import RBDBackend
import Testing

@Suite("Features of an image")
struct ImageFeaturesTests {
    @Test(
        "are named as the rbd command does, unknown ones by their bit",
        arguments: [
            (0, "", ""), (0x3D, "layering, exclusive-lock, object-map, fast-diff, deep-flatten", ""),
            (0xFC2, "striping, journaling, data-pool, operations, migrating, non-primary, dirty-cache", ""),
            (0x1000, "bit 12", "bit 12"), (1 | 1 << 40 | 1 << 63, "layering, bit 40, bit 63", "bit 40, bit 63"),
        ] as [(UInt64, String, String)])
    func names(bits: UInt64, text: String, unnamed: String) {
        let features = ImageFeatures(bits: bits)
        #expect("\(features)" == text)
        #expect("\(features.unnamed)" == unnamed)
    }
}
