//! Where settings come from, and which of them wins.

use expect_test::expect;

use super::support::Home;

/// What `baton serve --show-config` says about one key: value and source.
fn shown(home: &Home, key: &str, env: &[(&str, &str)], flags: &[&str]) -> (String, String) {
    let mut command = home.command(&[&["serve", "--show-config"], flags].concat());
    command.envs(env.iter().copied());
    let run = home.run(command);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let line = run.stdout.lines().find(|line| line.starts_with(key)).unwrap();
    let mut cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).skip(1);
    (cells.next().unwrap().to_owned(), cells.next().unwrap().to_owned())
}

/// The same with columns that do not depend on how long a temporary folder's name is.
fn columns(table: &str) -> String {
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    type Case<'a> = (&'a str, Option<&'a str>, &'a [(&'a str, &'a str)], &'a [&'a str], &'a str, &'a str);
    let listen = "server.listen";
    let file =
        "[server]\nlisten = \"127.0.0.1:3\"\n[twins]\nskip_broken = true\n[engine]\nkv_cache_memory = \"3 MiB\"\n";
    let flag = &["--listen", "127.0.0.1:1"][..];
    let env = &[("BATON_LISTEN", "127.0.0.1:2")][..];
    let cases: [Case<'_>; 18] = [
        (listen, None, &[], &[], "127.0.0.1:8000", "default"),
        (listen, Some(file), &[], &[], "127.0.0.1:3", "file"),
        (listen, Some(file), env, &[], "127.0.0.1:2", "environment"),
        (listen, None, env, &[], "127.0.0.1:2", "environment"),
        (listen, Some(file), env, flag, "127.0.0.1:1", "flag"),
        (listen, Some(file), &[], flag, "127.0.0.1:1", "flag"),
        ("twins.skip_broken", Some(file), &[], &[], "true", "file"),
        ("twins.skip_broken", Some(file), &[], &["--skip-broken-packs=false"], "false", "flag"),
        ("twins.skip_broken", None, &[], &["--skip-broken-packs"], "true", "flag"),
        ("twins.skip_broken", None, &[("BATON_SKIP_BROKEN_PACKS", "true")], &[], "true", "environment"),
        ("engine.device", None, &[("BATON_DEVICE", "cpu")], &[], "cpu", "environment"),
        ("engine.cuda_graphs", None, &[], &["--cuda-graphs", "off"], "off", "flag"),
        ("engine.gpu_weights", None, &[], &["--gpu-weights", "widened"], "widened", "flag"),
        ("engine.gpu_dtype", None, &[("BATON_GPU_DTYPE", "bf16")], &[], "bf16", "environment"),
        ("engine.gpu_memory_utilization", Some("[engine]\ngpu_memory_utilization = 1\n"), &[], &[], "1", "file"),
        ("engine.gpu_memory_utilization", None, &[], &["--gpu-memory-utilization", "0.5"], "0.5", "flag"),
        ("engine.kv_cache_memory", Some(file), &[], &[], "3.00 MiB", "file"),
        ("engine.kv_cache_memory", Some(file), &[], &["--kv-cache-memory", "1GiB"], "1.00 GiB", "flag"),
    ];
    for (key, file, env, flags, value, source) in cases {
        let home = Home::new();
        if let Some(text) = file {
            home.write("baton.toml", text);
        }
        assert_eq!(shown(&home, key, env, flags), (value.into(), source.into()), "{key} {file:?} {env:?} {flags:?}");
    }
}

#[test]
fn every_setting_is_shown_with_its_source() {
    let home = Home::new();
    home.write(
        ".config/baton/baton.toml",
        "[model]\ncatalog = \"more-models\"\n[twins]\npacks = \"packs\"\n[engine]\nthreads = 3\nkv_cache_memory = 1048576\n\
         [hub]\nendpoint = \"https://hub.example.com\"\n[log]\nformat = \"json\"\n",
    );
    expect![[r"
        exit 0
        out:
        # configuration file: HOME/.config/baton/baton.toml
        model.name smollm2-135m-instruct default
        model.quantize - default
        model.chat_template - default
        model.catalog HOME/.config/baton/more-models file
        model.cache HOME/.cache/baton default
        embedding.model - default
        twins.packs HOME/.config/baton/packs file
        twins.rules - default
        twins.skip_broken false default
        engine.threads 3 file
        engine.device auto default
        engine.gpu_memory_utilization 0.9 default
        engine.cuda_graphs on default
        engine.gpu_weights stored default
        engine.gpu_dtype auto default
        engine.kv_cache_memory 1.00 MiB file
        engine.adapter_memory 1.00 GiB default
        engine.prefix_store 4.00 GiB default
        engine.prefix_memory - default
        engine.max_running 64 default
        engine.max_waiting 256 default
        server.listen 127.0.0.1:8000 default
        server.drain_seconds 30 default
        data.folder HOME/.local/share/baton default
        ledger.cues all default
        ledger.retention forever default
        hub.endpoint https://hub.example.com file
        log.filter info default
        log.format json file
    "]]
    .assert_eq(&columns(&home.baton(&["serve", "--show-config"]).report()));
}

#[test]
fn the_nearest_file_is_read() {
    let home = Home::new();
    let named = home.write("named.toml", "[log]\nfilter = \"named\"");
    let filter = |env: &[(&str, &str)], flags: &[&str]| shown(&home, "log.filter", env, flags).0;
    assert_eq!(filter(&[], &[]), "info");
    home.write(".config/baton/baton.toml", "[log]\nfilter = \"user\"");
    assert_eq!(filter(&[], &[]), "user");
    home.write("xdg/baton/baton.toml", "[log]\nfilter = \"xdg\"");
    assert_eq!(filter(&[("XDG_CONFIG_HOME", home.path("xdg").to_str().unwrap())], &[]), "xdg");
    home.write("baton.toml", "[log]\nfilter = \"here\"");
    assert_eq!(filter(&[], &[]), "here");
    assert_eq!(filter(&[("BATON_CONFIG", named.to_str().unwrap())], &[]), "named");
    assert_eq!(filter(&[], &["--config", named.to_str().unwrap()]), "named");
}

#[test]
fn wrong_settings_are_explained() {
    let home = Home::new();
    let refused = |text: &str, args: &[&str]| {
        home.write("baton.toml", text);
        home.baton(&[&["serve", "--show-config"], args].concat()).report()
    };
    expect![[r"
        exit 2
        err:
        error: baton.toml is not a valid configuration: TOML parse error at line 3, column 1
          |
        3 | port = 1
          | ^^^^
        unknown field `port`, expected `listen` or `drain_seconds`
        hint: `baton serve --show-config` lists every key
    "]]
    .assert_eq(&refused("[server]\nlisten = \"a\"\nport = 1\n", &[]));
    expect![[r#"
        exit 2
        err:
        error: baton.toml is not a valid configuration: TOML parse error at line 2, column 19
          |
        2 | kv_cache_memory = "2 parsec"
          |                   ^^^^^^^^^^
        `2 parsec` is not a size; write it like `2 GiB`, `512MiB` or a number of bytes
        hint: `baton serve --show-config` lists every key
    "#]]
    .assert_eq(&refused("[engine]\nkv_cache_memory = \"2 parsec\"\n", &[]));
    expect![[r"
        exit 2
        err:
        error: baton.toml is not a valid configuration: TOML parse error at line 2, column 26
          |
        2 | gpu_memory_utilization = 90
          |                          ^^
        `90` is not a share; write a number over 0 and up to 1, like 0.9
        hint: `baton serve --show-config` lists every key
    "]]
    .assert_eq(&refused("[engine]\ngpu_memory_utilization = 90\n", &[]));
    expect![[r"
        exit 2
        err:
        error: `engine.threads` is 0, but at least 1 is needed
    "]]
    .assert_eq(&refused("[engine]\nthreads = 0\n", &[]));
    expect![[r"
        exit 2
        err:
        error: there is no configuration file elsewhere.toml
        hint: check --config and BATON_CONFIG
    "]]
    .assert_eq(&refused("", &["--config", "elsewhere.toml"]));
    expect![[r"
        exit 2
        err:
        error: `info,,=loud` is not a log filter: invalid filter directive
        hint: use a level like info, or targets like info,baton_engine=debug
    "]]
    .assert_eq(&refused("", &["--log", "info,,=loud"]));
}
