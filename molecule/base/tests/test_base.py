def test_x(host):
    assert host.system_info.codename == "trixie"
