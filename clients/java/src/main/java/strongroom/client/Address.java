package strongroom.client;

import java.util.Locale;

/** Where a server listens, as the caller wrote it. The scheme is {@code http}, {@code https} or empty. */
record Address(String scheme, String host, int port) {
    static final int DEFAULT_PORT = 50051;

    /**
     * Reads host, host:port, http://host:port (plaintext) or https://host:port (TLS). No error shows the text, which may hold a
     * password by mistake.
     */
    static Address parse(String text) {
        String rest = text.strip();
        String scheme = "";
        int mark = rest.indexOf("://");
        if (mark >= 0) {
            scheme = rest.substring(0, mark).toLowerCase(Locale.ROOT);
            if (!scheme.equals("http") && !scheme.equals("https")) {
                throw new ConfigurationException(
                        "A server address must begin with https:// (TLS) or http:// (plaintext), or have no scheme.");
            }
            rest = rest.substring(mark + 3);
            rest = rest.endsWith("/") ? rest.substring(0, rest.length() - 1) : rest;
        }
        if (rest.chars().anyMatch(letter -> "@/?#".indexOf(letter) >= 0)) {
            throw new ConfigurationException("A server address is host:port, https://host:port or http://host:port: it has no "
                    + "user, path or query.");
        }
        int colon = rest.endsWith("]") ? -1 : rest.lastIndexOf(':');
        String host = colon < 0 ? rest : rest.substring(0, colon);
        int port = colon < 0 ? DEFAULT_PORT : portOf(rest.substring(colon + 1));
        return new Address(scheme, hostOf(host), port);
    }

    private static int portOf(String text) {
        if (!text.matches("[0-9]{1,5}") || Integer.parseInt(text) < 1 || Integer.parseInt(text) > 65535) {
            throw new ConfigurationException("The port of a server address must be a number from 1 to 65535.");
        }
        return Integer.parseInt(text);
    }

    private static String hostOf(String text) {
        if (text.startsWith("[")) {
            if (!text.matches("\\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*]")) {
                throw new ConfigurationException("Only an IPv6 address can stand in brackets in a server address.");
            }
            return text.substring(1, text.length() - 1);
        }
        if (text.contains(":")) {
            throw new ConfigurationException(
                    "An IPv6 address must stand in brackets in a server address, such as [::1]:50051.");
        }
        if (text.isEmpty()) {
            throw new ConfigurationException("A server address needs a host, such as https://secrets.example.com:50051.");
        }
        if (!text.matches("[\\x21-\\x7e&&[^,]]+")) {
            throw new ConfigurationException(
                    "The host of a server address can have only letters, digits, hyphens, dots and underscores.");
        }
        return text;
    }

    /** Whether the address is on this machine. A name other than localhost is not looked up. */
    boolean isLoopback() {
        return host.equalsIgnoreCase("localhost")
                || host.matches("127(\\.[0-9]{1,3}){3}")
                || host.matches("(0{0,4}:){1,7}0{0,3}1");
    }

    /** Returns host:port. */
    @Override
    public String toString() {
        return (host.contains(":") ? "[" + host + "]" : host) + ":" + port;
    }
}
