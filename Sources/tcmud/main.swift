print("tcmud: not built yet")
