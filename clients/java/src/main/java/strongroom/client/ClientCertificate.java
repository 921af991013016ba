package strongroom.client;

import io.grpc.util.CertificateUtils;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedKeyManager;

/** A client certificate and its private key. The files are read again for each connection, so they can be renewed. */
final class ClientCertificate extends X509ExtendedKeyManager {
    private static final String ALIAS = "client";

    private final Path certificateFile;
    private final Path keyFile;
    private volatile Pair pair;

    private record Pair(X509Certificate[] chain, PrivateKey key) {}

    ClientCertificate(Path certificateFile, Path keyFile) {
        if (certificateFile == null || keyFile == null) {
            throw new ConfigurationException("A client certificate and its private key go together: give both, or neither.");
        }
        this.certificateFile = certificateFile;
        this.keyFile = keyFile;
        this.pair = read();
    }

    private Pair read() {
        try (InputStream certificate = Files.newInputStream(certificateFile);
                InputStream key = Files.newInputStream(keyFile)) {
            X509Certificate[] chain = CertificateUtils.getX509Certificates(certificate);
            if (chain.length == 0) {
                throw new ConfigurationException("The file " + certificateFile + " has no certificate in PEM.");
            }
            return new Pair(chain, CertificateUtils.getPrivateKey(key));
        } catch (IOException failure) {
            throw new ConfigurationException("The client certificate cannot be read: " + failure
                    + ". Check the paths and the permissions.");
        } catch (GeneralSecurityException failure) {
            throw new ConfigurationException("The client certificate cannot be used: give a certificate and a private key "
                    + "(PKCS #8), both in PEM.");
        }
    }

    /** Reads the files at the beginning of a connection. While they are being replaced, the last pair stays. */
    private String choose() {
        try {
            pair = read();
        } catch (ConfigurationException failure) {
            return ALIAS;
        }
        return ALIAS;
    }

    @Override
    public String chooseEngineClientAlias(String[] keyTypes, Principal[] issuers, SSLEngine engine) {
        return choose();
    }

    @Override
    public String chooseClientAlias(String[] keyTypes, Principal[] issuers, Socket socket) {
        return choose();
    }

    @Override
    public X509Certificate[] getCertificateChain(String alias) {
        return pair.chain().clone();
    }

    @Override
    public PrivateKey getPrivateKey(String alias) {
        return pair.key();
    }

    @Override
    public String[] getClientAliases(String keyType, Principal[] issuers) {
        return new String[] {ALIAS};
    }

    @Override
    public String[] getServerAliases(String keyType, Principal[] issuers) {
        return new String[0];
    }

    @Override
    public String chooseServerAlias(String keyType, Principal[] issuers, Socket socket) {
        return null;
    }
}
