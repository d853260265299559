//! Plugins, and what names them: `[plugin.NAME]`, `lbmethod`, `stickysession` and `metadata`.

use super::*;

/// Where plugins stand in these tests: behind [`GOOD`].
const CANARY: &str = "\n[plugin.canary]\nfile = \"plugins/canary.wasm\"\n";

const PLUGIN: &str = "[plugin.canary]";

/// `GOOD` with `line` in the section that `header` begins, and a plugin behind it; and the number of that line.
fn with_canary(header: &str, line: &str) -> (String, usize) {
    if header != PLUGIN {
        let (text, number) = with(header, line);
        return (format!("{text}\n{CANARY}"), number);
    }
    let text = if line.starts_with("file = ") {
        format!("{GOOD}\n{PLUGIN}\n{line}\n")
    } else {
        format!("{GOOD}{CANARY}{line}\n")
    };
    let number = text.lines().count();
    (text, number)
}

fn with_setting(line: &str) -> Plugin {
    good(&with_canary(PLUGIN, line).0).plugins.remove(0)
}

fn balancer(line: &str) -> Balancer {
    good(&with_canary(BALANCER, line).0).balancers.remove(0)
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn a_plugin_has_the_defaults_of_the_documentation() {
    let config = good(&format!("{GOOD}{CANARY}"));
    let expected = Plugin {
        name: "canary".to_owned(),
        file: PathBuf::from("conf/plugins/canary.wasm"),
        settings: BTreeMap::new(),
        memory: 16 << 20,
        deadline: Duration::from_millis(5),
        cpu_budget: 10,
        max_faults: 5,
        instances: Instances::PerBalancer,
        hide_headers: strings(&["authorization", "proxy-authorization"]),
    };
    assert_eq!(config.plugins, [expected]);
    assert_eq!(good(GOOD).plugins, []);
    assert!(config.balancers[0].members[0].metadata.is_empty());
}

#[test]
fn a_plugin_is_read_as_written() {
    let plugin = with_setting(
        "settings = { header = \"x-user\", \"per cent\" = \"5\" }
memory-unlimited = true
memory = \"1GiB\"
cpu-budget = \"25%\"
deadline = \"1s\"
max-faults = 1000
instances = \"per-worker\"
hide-headers = [\"Cookie\", \"x-secret\"]",
    );
    assert_eq!(
        plugin.settings,
        pairs(&[("header", "x-user"), ("per cent", "5")])
    );
    assert_eq!(
        (plugin.memory, plugin.deadline),
        (1 << 30, Duration::from_secs(1))
    );
    assert_eq!(
        (plugin.max_faults, plugin.instances, plugin.cpu_budget),
        (1000, Instances::PerWorker, 25)
    );
    let most = with_setting("memory = \"256MiB\"\ncpu-budget = \"100%\"");
    assert_eq!((most.memory, most.cpu_budget), (256 << 20, 100));
    assert_eq!(plugin.hide_headers, ["cookie", "x-secret"]);
    assert!(with_setting("hide-headers = []").hide_headers.is_empty());
    let least = with_setting("memory = \"1MiB\"\ndeadline = \"1ms\"\nmax-faults = 1");
    assert_eq!(
        (least.memory, least.deadline, least.max_faults),
        (1 << 20, Duration::from_millis(1), 1)
    );
    let file = |file: &str| with_setting(&format!("file = \"{file}\"")).file;
    assert_eq!(file("../a.wasm"), Path::new("conf/../a.wasm"));
    assert_eq!(file("/lib/a.wasm"), Path::new("/lib/a.wasm"));
}

#[test]
fn sections_do_for_settings_as_inline_tables_do() {
    let inline = with_setting("settings = { header = \"x-user\" }");
    let section = with_setting("[plugin.canary.settings]\nheader = \"x-user\"");
    assert_eq!(inline, section);
}

#[test]
fn a_method_is_a_word_or_a_plugin_with_a_fallback() {
    let method = |line: &str| balancer(line).method;
    let plugin = |fallback| Method::Plugin {
        plugin: 0,
        fallback,
    };
    assert_eq!(
        method("lbmethod = \"bybusyness\""),
        Method::Builtin(BuiltinMethod::Bybusyness)
    );
    assert_eq!(
        method("lbmethod = { plugin = \"canary\" }"),
        plugin(BuiltinMethod::Byrequests)
    );
    assert_eq!(
        method("lbmethod = { plugin = \"canary\", fallback = \"heartbeat\" }"),
        plugin(BuiltinMethod::Heartbeat)
    );
}

#[test]
fn sessions_are_read_by_names_or_by_a_plugin() {
    let sticky = |line: &str| balancer(line).sticky.unwrap();
    let plugin = |separator| Sticky {
        source: SessionSource::Plugin(0),
        separator,
    };
    let named = "stickysession = { plugin = \"canary\" }";
    assert_eq!(sticky(named), plugin(Some('.')));
    assert_eq!(
        sticky(&format!("{named}\nstickysessionsep = \"Off\"")),
        plugin(None)
    );
    assert_eq!(
        sticky("stickysession = \"A|b\"\nscolonpathdelim = true").source,
        SessionSource::Names {
            cookie: "A".to_owned(),
            parameter: "b".to_owned(),
            semicolon_ends: true,
        }
    );
}

#[test]
fn a_plugin_may_read_the_cookie_that_is_issued() {
    let balancer =
        balancer("stickysession = { plugin = \"canary\" }\nsticky-cookie = { name = \"R\" }");
    assert_eq!(balancer.sticky.unwrap().source, SessionSource::Plugin(0));
    assert_eq!(balancer.sticky_cookie.unwrap().name, "R");
}

#[test]
fn balancers_find_their_plugins_wherever_they_stand() {
    let (text, _) = with_canary(BALANCER, "lbmethod = { plugin = \"last\" }");
    let first = "[plugin.first]\nfile = \"a\"\n[plugin.\"a.b\"]\nfile = \"a\"\n[limits]";
    let last = "[plugin.last]
file = \"b\"
[balancer.other]
stickysession = { plugin = \"a.b\" }
[[balancer.other.member]]
url = \"http://m\"
";
    let config = good(&(text.replace("[limits]", first) + last));
    let names: Vec<_> = config.plugins.iter().map(|plugin| &*plugin.name).collect();
    assert_eq!(names, ["first", "a.b", "canary", "last"]);
    let [mycluster, other] = &config.balancers[..] else {
        panic!("two balancers");
    };
    assert!(matches!(mycluster.method, Method::Plugin { plugin: 3, .. }));
    assert_eq!(
        other.sticky.as_ref().unwrap().source,
        SessionSource::Plugin(1)
    );
}

#[test]
fn metadata_is_read_as_written() {
    let (text, _) = with(MEMBER, "metadata = { zone = \"a\", version = \"2\" }");
    let members = &good(&text).balancers[0].members;
    assert_eq!(
        members[0].metadata,
        pairs(&[("version", "2"), ("zone", "a")])
    );
    assert!(members[1].metadata.is_empty());
}

/// As `a_mistake_names_place_key_value_and_remedy`: the whole value is wrong.
#[test]
fn a_mistake_in_a_value_names_it_and_the_remedy() {
    let table = [
        (PLUGIN, "file = 3", "must be a string in quotes"),
        (
            PLUGIN,
            "file = \"\"",
            "must be a file's name, such as \"plugins/canary.wasm\"",
        ),
        (
            PLUGIN,
            "settings = \"header\"",
            "must be a table such as { header = \"x-user\" }",
        ),
        (PLUGIN, "memory = 16", "must have a unit: write \"16B\""),
        (
            PLUGIN,
            "memory = \"1KiB\"",
            "must be a size from 1MiB to 256MiB, such as \"16MiB\"",
        ),
        (PLUGIN, "memory = \"1025MiB\"", "from 1MiB to 256MiB"),
        (
            PLUGIN,
            "memory = \"257MiB\"",
            ", or up to 1GiB with memory-unlimited = true",
        ),
        (PLUGIN, "memory-unlimited = 1", "must be true or false"),
        (
            PLUGIN,
            "cpu-budget = \"0%\"",
            "must be a percentage from \"1%\" to \"100%\"",
        ),
        (PLUGIN, "cpu-budget = 25", "write \"25%\""),
        (PLUGIN, "cpu-budget = 0.1", "from \"1%\" to \"100%\""),
        (PLUGIN, "deadline = 5", "write \"5ms\""),
        (
            PLUGIN,
            "deadline = \"2s\"",
            "must be a duration from 1ms to 1s, such as \"250ms\"",
        ),
        (PLUGIN, "deadline = \"0.5ms\"", "from 1ms to 1s"),
        (
            PLUGIN,
            "max-faults = 0",
            "must be a whole number from 1 to 1000",
        ),
        (PLUGIN, "max-faults = 1001", "from 1 to 1000"),
        (
            PLUGIN,
            "instances = \"per-workers\"",
            "must be one of \"per-balancer\", \"per-worker\"; did you mean \"per-worker\"?",
        ),
        (
            PLUGIN,
            "hide-headers = \"authorization\"",
            "must be a list such as [\"authorization\"]",
        ),
        (
            PLUGIN,
            "setting = {}",
            "unknown key `setting`; did you mean `settings`?",
        ),
        (
            BALANCER,
            "lbmethod = 3",
            "must be one of \"byrequests\", \"bytraffic\", \"bybusyness\", \"heartbeat\", or a plugin such as { plugin = \"canary\" }",
        ),
        (
            BALANCER,
            "lbmethod = [\"byrequests\"]",
            "or a plugin such as { plugin = \"canary\" }",
        ),
        (
            BALANCER,
            "lbmethod = \"canary\"",
            "is no built-in method but a plugin: write { plugin = \"canary\" }",
        ),
        (
            BALANCER,
            "stickysession = 3",
            "such as \"JSESSIONID|jsessionid\", or a plugin such as { plugin = \"canary\" }",
        ),
        (
            MEMBER,
            "metadata = [\"a\"]",
            "must be a table such as { zone = \"a\" }",
        ),
    ];
    for (header, line, remedy) in table {
        let (text, number) = with_canary(header, line);
        let (key, value) = line.split_once(" = ").unwrap();
        let prefix = match header {
            PLUGIN => "plugin.canary.",
            header => key_prefix(header),
        };
        let column = key.len() + 4;
        let place = format!("conf/c.toml:{number}:{column}: {prefix}{key} = {value}: ");
        let found = mistakes(&text);
        assert!(
            found.len() == 1 && found[0].starts_with(&place) && found[0].contains(remedy),
            "{place}{remedy}\nbut {found:#?}"
        );
    }
}

/// Mistakes within tables: the place is that of the part that is wrong, and nothing else is said.
#[test]
fn a_mistake_within_a_table_is_told_where_it_is() {
    let method = |text| with_canary(BALANCER, &format!("lbmethod = {text}")).0;
    let session = |text| with_canary(BALANCER, &format!("stickysession = {text}")).0;
    let settings = |text| with_canary(PLUGIN, &format!("settings = {text}")).0;
    let metadata = |text| with(MEMBER, &format!("metadata = {text}")).0;
    let table = [
        (
            method("{ plugin = 3 }"),
            "15:23: balancer.mycluster.lbmethod.plugin = 3: must be a string in quotes",
        ),
        (
            method("{ plugin = \"canray\" }"),
            "15:23: balancer.mycluster.lbmethod.plugin = \"canray\": there is no plugin of this name; did you mean \"canary\"?",
        ),
        (
            method("{ plugin = \"other\" }"),
            "15:23: balancer.mycluster.lbmethod.plugin = \"other\": there is no plugin of this name; there are canary",
        ),
        (
            method("{ plugin = \"byrequests\" }"),
            "15:23: balancer.mycluster.lbmethod.plugin = \"byrequests\": there is no plugin of this name; there are canary",
        ),
        (
            with(BALANCER, "lbmethod = { plugin = \"a.b\" }").0,
            "15:23: balancer.mycluster.lbmethod.plugin = \"a.b\": there is no plugin of this name: write [plugin.\"a.b\"]",
        ),
        (
            method("{ fallback = \"bytraffic\" }"),
            "15:12: balancer.mycluster.lbmethod.plugin: is missing; write the name of one, such as plugin = \"canary\"",
        ),
        (
            method("{ plugin = \"canary\", fallback = \"byrequest\" }"),
            "15:44: balancer.mycluster.lbmethod.fallback = \"byrequest\": must be one of \"byrequests\", \"bytraffic\", \"bybusyness\", \"heartbeat\"; did you mean \"byrequests\"?",
        ),
        (
            method("{ plugin = \"canary\", fallback = { plugin = \"canary\" } }"),
            "15:44: balancer.mycluster.lbmethod.fallback = { plugin = \"canary\" }: must be one of \"byrequests\", \"bytraffic\", \"bybusyness\", \"heartbeat\"",
        ),
        (
            method("{ plugin = \"canary\", falback = \"bytraffic\" }"),
            "15:43: balancer.mycluster.lbmethod.falback = \"bytraffic\": unknown key `falback`; did you mean `fallback`?",
        ),
        (
            session("{ plugin = \"other\" }"),
            "15:28: balancer.mycluster.stickysession.plugin = \"other\": there is no plugin of this name; there are canary",
        ),
        (
            session("{ plugin = \"canary\", fallback = \"A\" }"),
            "15:49: balancer.mycluster.stickysession.fallback = \"A\": unknown key `fallback`; the keys here are plugin",
        ),
        (
            session("{}"),
            "15:17: balancer.mycluster.stickysession.plugin: is missing; write the name of one",
        ),
        (
            settings("{ percent = 5 }"),
            "27:24: plugin.canary.settings.percent = 5: must be a string: write \"5\"",
        ),
        (
            settings("{ share = 0.5 }"),
            "27:22: plugin.canary.settings.share = 0.5: must be a string: write \"0.5\"",
        ),
        (
            settings("{ mask = 0xff }"),
            "27:21: plugin.canary.settings.mask = 0xff: must be a string: write \"0xff\"",
        ),
        (
            settings("{ strict = true }"),
            "27:23: plugin.canary.settings.strict = true: must be a string: write \"true\"",
        ),
        (
            settings("{ since = 1979-05-27 }"),
            "27:22: plugin.canary.settings.since = 1979-05-27: must be a string: write \"1979-05-27\"",
        ),
        (
            settings("{ names = [\"a\"] }"),
            "27:22: plugin.canary.settings.names = [\"a\"]: must be a string in quotes",
        ),
        (
            with_canary(PLUGIN, "hide-headers = [\"cookie\", \"a:\"]").0,
            "27:27: plugin.canary.hide-headers[1] = \"a:\": must be the name of a header field: letters, digits and `-`",
        ),
        (
            with_canary(PLUGIN, "hide-headers = [\"\"]").0,
            "27:17: plugin.canary.hide-headers[0] = \"\": must be the name of a header field: letters, digits and `-`",
        ),
        (
            with_canary(PLUGIN, "hide-headers = [1]").0,
            "27:17: plugin.canary.hide-headers[0] = 1: must be a string in quotes",
        ),
        (
            settings("{ \"\" = \"a\" }"),
            "27:19: plugin.canary.settings.\"\" = \"a\": its name must have 1 to 256 bytes",
        ),
        (
            metadata("{ version = 2 }"),
            "18:24: balancer.mycluster.member[0].metadata.version = 2: must be a string: write \"2\"",
        ),
        (
            format!("{GOOD}\n[plugin.canary]\n"),
            "25:1: plugin.canary.file: is missing; write which component it is, such as file = \"plugins/canary.wasm\"",
        ),
        (
            format!("{GOOD}\n[plugin.\"my canary\"]\nfile = \"a\"\n"),
            "25:1: plugin.\"my canary\": must have a name of printable ASCII without spaces, such as canary",
        ),
        (
            format!("{GOOD}\n[plugin]\ncanary = \"a.wasm\"\n"),
            "26:10: plugin.canary = \"a.wasm\": must be a table with a name: write [plugin.NAME]",
        ),
        (
            format!("{GOOD}\n[[plugin]]\nfile = \"a.wasm\"\n"),
            "25:1: plugin: must be a table with a name: write [plugin.NAME]",
        ),
        (
            format!("{GOOD}\n[plugins.canary]\nfile = \"a.wasm\"\n"),
            "25:2: plugins: unknown key `plugins`; did you mean `plugin`?",
        ),
    ];
    for (text, expected) in table {
        let found = mistakes(&text);
        let expected = format!("conf/c.toml:{expected}");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{expected}\nbut {found:#?}"
        );
    }
}

#[test]
fn settings_metadata_and_hidden_headers_are_bounded() {
    let table = |count: usize, value: &str| {
        let entries: Vec<_> = (0..count).map(|i| format!("k{i} = \"{value}\"")).collect();
        format!("{{ {} }}", entries.join(", "))
    };
    for (header, key, most, longest) in [
        (PLUGIN, "settings", 64, 4096),
        (MEMBER, "metadata", 32, 1024),
    ] {
        let text = |count, length| {
            let table = table(count, &"v".repeat(length));
            with_canary(header, &format!("{key} = {table}")).0
        };
        good(&text(most, 1));
        good(&text(1, longest));
        let found = mistakes(&text(most + 1, 1));
        let expected = format!("must have at most {most} entries, not {}", most + 1);
        assert!(
            found.len() == 1 && found[0].ends_with(&expected),
            "{found:#?}"
        );
        let found = mistakes(&text(1, longest + 1));
        let expected = format!("must have at most {longest} bytes, not {}", longest + 1);
        assert!(
            found.len() == 1 && found[0].ends_with(&expected),
            "{found:#?}"
        );
    }
    let names = |count| with_canary(PLUGIN, &format!("hide-headers = {:?}", vec!["a"; count])).0;
    good(&names(64));
    let found = mistakes(&names(65));
    assert!(
        found.len() == 1 && found[0].ends_with("must have at most 64 names, not 65"),
        "{found:#?}"
    );
    let long_name = format!("settings = {{ {} = \"a\" }}", "n".repeat(257));
    let found = mistakes(&with_canary(PLUGIN, &long_name).0);
    assert!(
        found.len() == 1 && found[0].ends_with("its name must have 1 to 256 bytes"),
        "{found:#?}"
    );
}

/// One mistake in a plugin's section is one mistake: who names the plugin is right.
#[test]
fn a_plugin_with_a_mistake_is_still_known_by_its_name() {
    let (text, _) = with_canary(BALANCER, "lbmethod = { plugin = \"canary\" }");
    let found = mistakes(&text.replace("file = \"plugins/canary.wasm\"", "file = 3"));
    assert_eq!(
        found,
        ["conf/c.toml:26:8: plugin.canary.file = 3: must be a string in quotes"]
    );
}

#[test]
fn a_plugin_that_a_broken_line_may_hide_is_not_called_missing() {
    for line in [
        "lbmethod = { plugin = \"canary\" }",
        "stickysession = { plugin = \"canary\" }",
    ] {
        let (text, _) = with_canary(BALANCER, line);
        for (whole, broken) in [
            ("[plugin.canary]", "[plugin canary]"),
            ("[plugin.canary]", "[plugin.canary"),
            (
                "file = \"plugins/canary.wasm\"",
                "file = plugins/canary.wasm",
            ),
        ] {
            let found = mistakes(&text.replace(whole, broken));
            assert!(
                found.len() == 1 && found[0].contains("is not TOML"),
                "{found:#?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_mutation_of_a_file_with_plugins_is_read_or_refused(
        mutations in vec((any::<Index>(), 0..40_usize, snippet()), 1..6)
    ) {
        let plugins = "[balancer.mycluster]
lbmethod = { plugin = \"canary\", fallback = \"bytraffic\" }
stickysession = { plugin = \"canary\" }
[plugin.canary]
file = \"canary.wasm\"
settings = { header = \"x-user\" }
memory = \"16MiB\"
deadline = \"5ms\"
[[balancer.mycluster.member]]
url = \"http://m\"
metadata = { zone = \"a\" }
";
        let mutate = |text: String, (from, length, snippet): &(Index, usize, String)| mutate(&text, from, *length, snippet);
        check_places(&mutations.iter().fold(plugins.to_owned(), mutate));
    }
}
