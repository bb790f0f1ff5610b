def test_x(host, variables):
    assert host.system_info.codename == "trixie", variables["estate_address"]
