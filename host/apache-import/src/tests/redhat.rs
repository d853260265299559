//! Red Hat's `/etc/httpd`: the true tree but for long lists, with a site that balances.

use std::path::Path;

use super::{Memory, plain, told};
use crate::{Fate, Options, import};

const HTTPD: &str = r#"
ServerRoot "/etc/httpd"
Listen 80
Include conf.modules.d/*.conf
User apache
Group apache
ServerAdmin root@localhost
<Directory />
    AllowOverride none
    Require all denied
</Directory>
DocumentRoot "/var/www/html"
<Directory "/var/www/html">
    Options Indexes FollowSymLinks
    Require all granted
</Directory>
<IfModule dir_module>
    DirectoryIndex index.html
</IfModule>
<Files ".ht*">
    Require all denied
</Files>
ErrorLog "logs/error_log"
LogLevel warn
<IfModule log_config_module>
    LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"" combined
    LogFormat "%h %l %u %t \"%r\" %>s %b" common
    <IfModule logio_module>
      LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %I %O" combinedio
    </IfModule>
    CustomLog "logs/access_log" combined
</IfModule>
<IfModule alias_module>
    ScriptAlias /cgi-bin/ "/var/www/cgi-bin/"
</IfModule>
AddDefaultCharset UTF-8
<IfModule mime_magic_module>
    MIMEMagicFile conf/magic
</IfModule>
EnableSendfile on
IncludeOptional conf.d/*.conf
"#;

const WELCOME: &str = "<LocationMatch \"^/+$\">\n    Options -Indexes\n    ErrorDocument 403 /.noindex.html\n</LocationMatch>\n<Directory /usr/share/httpd/noindex>\n    AllowOverride None\n    Require all granted\n</Directory>\nAlias /.noindex.html /usr/share/httpd/noindex/index.html\n";

const SSL: &str = r#"
Listen 443 https
SSLPassPhraseDialog exec:/usr/libexec/httpd-ssl-pass-dialog
SSLSessionCache         shmcb:/run/httpd/sslcache(512000)
SSLCryptoDevice builtin
<VirtualHost _default_:443>
ErrorLog logs/ssl_error_log
TransferLog logs/ssl_access_log
LogLevel warn
SSLEngine on
SSLHonorCipherOrder on
SSLCipherSuite PROFILE=SYSTEM
SSLProxyCipherSuite PROFILE=SYSTEM
SSLCertificateFile /etc/pki/tls/certs/localhost.crt
SSLCertificateKeyFile /etc/pki/tls/private/localhost.key
<FilesMatch "\.(cgi|shtml|phtml|php)$">
    SSLOptions +StdEnvVars
</FilesMatch>
BrowserMatch "MSIE [2-5]" \
         nokeepalive ssl-unclean-shutdown \
         downgrade-1.0 force-response-1.0
CustomLog logs/ssl_request_log \
          "%t %h %{SSL_PROTOCOL}x %{SSL_CIPHER}x \"%r\" %b"
</VirtualHost>
"#;

const SHOP: &str = "<Proxy balancer://shop>\n  BalancerMember http://10.0.0.1:8080 route=a\n  BalancerMember http://10.0.0.2:8080 route=b\n  ProxySet stickysession=SID\n</Proxy>\n<Location /shop>\n  ProxyPass balancer://shop/shop\n  ProxyPassReverse balancer://shop/shop\n</Location>\n";

#[test]
fn the_whole_tree_comes_through() {
    let modules = "LoadModule alias_module modules/mod_alias.so\nLoadModule dir_module modules/mod_dir.so\nLoadModule log_config_module modules/mod_log_config.so\n";
    let proxy = "LoadModule proxy_module modules/mod_proxy.so\nLoadModule proxy_balancer_module modules/mod_proxy_balancer.so\n";
    let files = Memory::of([
        ("/etc/httpd/conf/httpd.conf", HTTPD),
        ("/etc/httpd/conf.modules.d/00-base.conf", modules),
        ("/etc/httpd/conf.modules.d/00-proxy.conf", proxy),
        (
            "/etc/httpd/conf.modules.d/00-ssl.conf",
            "LoadModule ssl_module modules/mod_ssl.so\n",
        ),
        ("/etc/httpd/conf.modules.d/README", "no configuration\n"),
        ("/etc/httpd/conf.d/shop.conf", SHOP),
        ("/etc/httpd/conf.d/ssl.conf", SSL),
        ("/etc/httpd/conf.d/welcome.conf", WELCOME),
    ]);
    let import = import(
        Path::new("/etc/httpd/conf/httpd.conf"),
        &files,
        &Options::default(),
    );
    let toml = plain(&import);
    for part in [
        "access-log = { file = \"/etc/httpd/logs/access_log\", format = \"combined\" }",
        "address = \"[::]:80\"\n",
        "address = \"[::]:443\"\ntls = { certificates = [{ cert = \"/etc/pki/tls/certs/localhost.crt\", key = \"/etc/pki/tls/private/localhost.key\" }] }",
        "listener = [\"[::]:80\"]\npath = \"/shop\"\nbalancer = \"shop\"\n",
        // The location is the main server's, and so holds for the virtual host, too.
        "listener = [\"[::]:443\"]\npath = \"/shop\"\nbalancer = \"shop\"\n",
        "[balancer.shop]\nstickysession = \"SID\"",
    ] {
        assert!(toml.contains(part), "{part} is missing:\n{toml}");
    }
    assert_eq!(told(&import, Fate::Refused), [""; 0]);
    let told = told(&import, Fate::LeftOut);
    for words in [
        "httpd.conf:12: DocumentRoot",
        "conf.d/ssl.conf:22: CustomLog",
        "conf.d/welcome.conf:5: <Directory",
    ] {
        let is_told = told.iter().any(|it| it.contains(words));
        assert!(is_told, "{words} is missing: {told:#?}");
    }
}
