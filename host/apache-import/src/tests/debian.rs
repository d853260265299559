//! Debian's `/etc/apache2`: the true tree but for long lists, with a site that balances.

use std::path::Path;

use super::{Memory, plain, told};
use crate::{Fate, Import, Options, import};

const APACHE2: &str = r#"
DefaultRuntimeDir ${APACHE_RUN_DIR}
PidFile ${APACHE_PID_FILE}
Timeout 300
KeepAlive On
MaxKeepAliveRequests 100
KeepAliveTimeout 5
User ${APACHE_RUN_USER}
Group ${APACHE_RUN_GROUP}
HostnameLookups Off
ErrorLog ${APACHE_LOG_DIR}/error.log
LogLevel warn
IncludeOptional mods-enabled/*.load
IncludeOptional mods-enabled/*.conf
Include ports.conf
<Directory />
	Options FollowSymLinks
	AllowOverride None
	Require all denied
</Directory>
<Directory /var/www/>
	Options Indexes FollowSymLinks
	AllowOverride None
	Require all granted
</Directory>
AccessFileName .htaccess
<FilesMatch "^\.ht">
	Require all denied
</FilesMatch>
LogFormat "%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" vhost_combined
LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" combined
LogFormat "%h %l %u %t \"%r\" %>s %O" common
IncludeOptional conf-enabled/*.conf
IncludeOptional sites-enabled/*.conf
"#;

const PORTS: &str = "Listen 80\n\n<IfModule ssl_module>\n\tListen 443\n</IfModule>\n\n<IfModule mod_gnutls.c>\n\tListen 443\n</IfModule>\n";

const STATUS: &str = "<Location /server-status>\n\tSetHandler server-status\n\tRequire local\n</Location>\nExtendedStatus On\n<IfModule mod_proxy.c>\n\tProxyStatus On\n</IfModule>\n";

const SITE: &str = r#"
<VirtualHost *:80>
	ServerName shop.example.com
	ServerAdmin webmaster@localhost
	ErrorLog ${APACHE_LOG_DIR}/error.log
	CustomLog ${APACHE_LOG_DIR}/access.log combined
	ProxyPass /shop balancer://shop/shop
	ProxyPassReverse /shop balancer://shop/shop
	<Proxy balancer://shop>
		BalancerMember http://10.0.0.1:8080
		BalancerMember http://10.0.0.2:8080
	</Proxy>
</VirtualHost>
"#;

/// The tree; `modules` are loaded besides those that Debian loads by itself.
fn tree(modules: &[&str], defined: &[&str]) -> Import {
    let load =
        |name: &&str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
    let base = [
        "alias",
        "authz_core",
        "authz_host",
        "dir",
        "mime",
        "mpm_event",
        "reqtimeout",
        "status",
    ];
    let load: String = base.iter().chain(modules).map(load).collect();
    let files = Memory::of([
        ("/etc/apache2/apache2.conf", APACHE2),
        ("/etc/apache2/ports.conf", PORTS),
        ("/etc/apache2/envvars", "export APACHE_RUN_USER=www-data\n"),
        (
            "/etc/apache2/conf-enabled/charset.conf",
            "#AddDefaultCharset UTF-8\n",
        ),
        (
            "/etc/apache2/conf-enabled/other-vhosts-access-log.conf",
            "CustomLog ${APACHE_LOG_DIR}/other_vhosts_access.log vhost_combined\n",
        ),
        (
            "/etc/apache2/conf-enabled/security.conf",
            "ServerTokens OS\nServerSignature On\nTraceEnable Off\n",
        ),
        ("/etc/apache2/mods-enabled/all.load", &load),
        (
            "/etc/apache2/mods-enabled/alias.conf",
            "Alias /icons/ \"/usr/share/apache2/icons/\"\n<Directory \"/usr/share/apache2/icons\">\n\tRequire all granted\n</Directory>\n",
        ),
        (
            "/etc/apache2/mods-enabled/dir.conf",
            "DirectoryIndex index.html index.php\n",
        ),
        (
            "/etc/apache2/mods-enabled/mime.conf",
            "TypesConfig /etc/mime.types\nAddType application/x-gzip .gz .tgz\n",
        ),
        (
            "/etc/apache2/mods-enabled/mpm_event.conf",
            "StartServers 2\nMaxRequestWorkers 150\n",
        ),
        (
            "/etc/apache2/mods-enabled/reqtimeout.conf",
            "RequestReadTimeout header=20-40,minrate=500\nRequestReadTimeout body=10,minrate=500\n",
        ),
        ("/etc/apache2/mods-enabled/status.conf", STATUS),
        ("/etc/apache2/sites-enabled/000-shop.conf", SITE),
    ]);
    let options = Options {
        defined: defined.iter().map(|it| (*it).to_owned()).collect(),
        ..Options::default()
    };
    import(Path::new("/etc/apache2/apache2.conf"), &files, &options)
}

const BALANCING: [&str; 5] = [
    "proxy",
    "proxy_http",
    "proxy_balancer",
    "lbmethod_byrequests",
    "slotmem_shm",
];

#[test]
fn the_whole_tree_comes_through() {
    let import = tree(&BALANCING, &["APACHE_LOG_DIR=/var/log/apache2"]);
    assert_eq!(
        plain(&import),
        r#"access-log = { file = "/var/log/apache2/other_vhosts_access.log", format = "combined" }
[limits]
keepalive-timeout = "5s"
client-timeout = "300s"
[[listen]]
address = "[::]:80"
[[route]]
path = "/shop"
balancer = "shop"
[balancer.shop]
[[balancer.shop.member]]
url = "http://10.0.0.1:8080"
timeout = "300s"
[[balancer.shop.member]]
url = "http://10.0.0.2:8080"
timeout = "300s""#
    );
    assert_eq!(told(&import, Fate::Refused), [""; 0]);
    let files: Vec<_> = import
        .files
        .iter()
        .map(|it| it.display().to_string())
        .collect();
    assert!(files.contains(&"/etc/apache2/sites-enabled/000-shop.conf".to_owned()));
    let folders: Vec<_> = import
        .folders
        .iter()
        .map(|it| it.display().to_string())
        .collect();
    assert_eq!(
        folders,
        ["mods-enabled", "conf-enabled", "sites-enabled"].map(|it| format!("/etc/apache2/{it}"))
    );
}

#[test]
fn what_files_and_status_were_for_is_told_with_its_line() {
    let import = tree(&BALANCING, &["APACHE_LOG_DIR=/var/log/apache2"]);
    let told = told(&import, Fate::LeftOut);
    for words in [
        "apache2.conf:16: <Directory />: files are not served here",
        "mods-enabled/alias.conf:1: Alias /icons/",
        "mods-enabled/status.conf:2: SetHandler server-status",
        "sites-enabled/000-shop.conf:6: CustomLog",
        "${APACHE_RUN_USER} is not defined",
    ] {
        let is_told = told.iter().any(|it| it.contains(words));
        assert!(is_told, "{words} is missing: {told:#?}");
    }
    assert!(!told.iter().any(|it| it.contains("APACHE_LOG_DIR")));
}

/// The directives of modules that are not loaded stand outside of conditions here; those within are left out, and told.
#[test]
fn conditions_ask_for_the_modules_that_are_loaded() {
    let with = tree(&[&BALANCING[..], &["ssl"]].concat(), &[]);
    assert!(plain(&with).contains("address = \"[::]:443\""));
    let without = tree(&BALANCING, &[]);
    assert!(!plain(&without).contains("443"));
    let told = told(&without, Fate::LeftOut).concat();
    assert!(
        told.contains(
            "ports.conf:3: what stands here is left out, since no LoadModule loads ssl_module"
        ),
        "{told}"
    );
    assert!(!told.contains("gnutls"), "{told}");
}
